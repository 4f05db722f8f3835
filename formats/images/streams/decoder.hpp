// A compressed file as the bytes that are in it, front to back.
//
// Members that follow one another are one content, as the tools have it. What comes behind the
// last one, and an end before its time, are errors that name the place in the compressed file.
// Never are bytes given that a checksum has spoken against already; as checksums stand behind
// what they cover, the content is good only once read() met the end. Belongs to one thread at a
// time.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "formats/images/streams/codec.hpp"
#include "io/byte_stream.hpp"

namespace formats::streams {

class Decoder final : public io::ByteStream {
 public:
  // `name` is the file's, for messages.
  Decoder(std::unique_ptr<Codec> codec, std::unique_ptr<io::ByteStream> input, std::string name);

  // Fills `out`, unless the content ends first; gives the count. Throws Error.
  std::size_t read(std::span<std::byte> out) override;

 private:
  [[nodiscard]] std::span<const std::byte> rest() const {
    return std::span(buffer_).subspan(begin_, end_ - begin_);
  }
  // At least `wanted` bytes, unless the input ends.
  std::span<const std::byte> fetch(std::size_t wanted);
  void begin_member();
  [[noreturn]] void fail(const std::string& fault) const;

  std::unique_ptr<Codec> codec_;
  std::unique_ptr<io::ByteStream> input_;
  std::string name_;
  std::vector<std::byte> buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  bool input_ended_ = false;
  std::uint64_t position_ = 0;  // of rest() in the file
  bool in_member_ = false;
  bool any_member_ = false;
  bool ended_ = false;
};

}  // namespace formats::streams
