#include "io/byte_stream.hpp"

namespace io {

std::size_t read_fully(ByteStream& stream, std::span<std::byte> buffer) {
  std::size_t done = 0;
  while (done < buffer.size()) {
    const std::size_t count = stream.read(buffer.subspan(done));
    if (count == 0) break;
    done += count;
  }
  return done;
}

}  // namespace io
