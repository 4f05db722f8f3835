// Bytes that come one after another, for a thread that does nothing else meanwhile, such as one
// that decodes: a file read front to back, or what a decoder makes of one.
#pragma once

#include <cstddef>
#include <span>

namespace io {

class ByteStream {
 public:
  ByteStream() = default;
  ByteStream(const ByteStream&) = delete;
  ByteStream& operator=(const ByteStream&) = delete;
  virtual ~ByteStream() = default;

  // At least one byte into `buffer`, which is not empty, unless the stream has ended; gives the
  // count. A stream that has checksums gives 0 only when they were right. Throws Error.
  virtual std::size_t read(std::span<std::byte> buffer) = 0;
};

// Fills `buffer` unless the stream ends first; gives the count.
std::size_t read_fully(ByteStream& stream, std::span<std::byte> buffer);

}  // namespace io
