#include "imgtool/jobs/stream_head.hpp"

#include <algorithm>

#include "imgtool/jobs/partition_table_fit.hpp"
#include "io/memory_source.hpp"
#include "io/overlay_source.hpp"

namespace imgtool {

io::Task<std::size_t> StreamHead::read(io::ByteRange range, io::Buffer buffer) {
  const std::size_t count = co_await stream_.read(range, buffer);
  const io::ByteRange part = io::intersection({range.offset, count}, {0, length});
  std::copy_n(buffer.bytes.begin(), part.length,
              memory_.bytes().begin() + static_cast<std::ptrdiff_t>(part.offset));
  co_return count;
}

std::string StreamHead::note_of_truncation(io::Ring& ring, std::uint64_t size,
                                           const std::string& name) const {
  const std::uint64_t kept = std::min(size, length);
  io::AlignedMemory copy(length);
  std::copy_n(memory_.bytes().begin(), kept, copy.bytes().begin());
  io::MemorySource head(name, std::move(copy), kept);
  io::OverlaySource disk(head, {}, size);  // zeros behind it: what a table says stands before
  return imgtool::note_of_truncation(ring, disk, name);
}

}  // namespace imgtool
