// A disk that comes as a stream. Its last 512 bytes may say that it was none: a fixed VHD's footer
// is no part of the disk, and a DMG's trailer is an error.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "io/byte_stream.hpp"

namespace formats {

class DiskStream final : public io::ByteStream {
 public:
  // `size_is_told`: that of all of the stream was said to be the disk's already, so a footer is an
  // error at the end. `name` is for messages.
  DiskStream(std::unique_ptr<io::ByteStream> stream, bool size_is_told, std::string name);

  // Holds back what may be a footer.
  std::size_t read(std::span<std::byte> buffer) override;

 private:
  void fill();
  void look_at_end();

  std::unique_ptr<io::ByteStream> stream_;
  bool size_is_told_;
  std::string name_;
  std::vector<std::byte> buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::uint64_t given_ = 0;
  bool ended_ = false;
};

}  // namespace formats
