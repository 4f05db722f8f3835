// The content of one member of an archive, with what the archive says of it: its length and a
// checksum, which have to be right before the stream ends.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "io/byte_stream.hpp"

namespace formats::archives {

// Goes over all bytes in order; throws Error at the end where they are not what they should be.
class ContentCheck {
 public:
  ContentCheck() = default;
  ContentCheck(const ContentCheck&) = delete;
  ContentCheck& operator=(const ContentCheck&) = delete;
  virtual ~ContentCheck() = default;
  virtual void update(std::span<const std::byte> bytes) = 0;
  virtual void finish() = 0;
};

// By the CRC-32 of the zip directory. `path` and `offset` are for the error.
[[nodiscard]] std::unique_ptr<ContentCheck> make_crc32_check(std::uint32_t wanted, std::string path,
                                                             std::uint64_t offset);

// Stops at `size` bytes, whatever more there is: that is an error, as less is.
class MemberStream final : public io::ByteStream {
 public:
  // `check` may be null. `name` is for messages.
  MemberStream(std::unique_ptr<io::ByteStream> content, std::uint64_t size,
               std::unique_ptr<ContentCheck> check, std::string name)
      : content_(std::move(content)),
        size_(size),
        check_(std::move(check)),
        name_(std::move(name)) {}

  std::size_t read(std::span<std::byte> buffer) override;

 private:
  void finish();

  std::unique_ptr<io::ByteStream> content_;
  std::uint64_t size_;
  std::unique_ptr<ContentCheck> check_;
  std::string name_;
  std::uint64_t done_ = 0;
  bool ended_ = false;
};

}  // namespace formats::archives
