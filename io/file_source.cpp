#include "io/file_source.hpp"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>

#include <unistd.h>

#include "io/buffer_pool.hpp"
#include "io/error.hpp"

namespace io {
namespace {

Error ends_early(const std::string& path, std::uint64_t end) {
  Error error = Error::format(path, end, "ends here, before its size said; was it changed?");
  return error;
}

}  // namespace

FileSource::FileSource(Ring& ring, File& file, std::uint64_t size, bool direct)
    : ring_(ring),
      file_{ring.remember(file.fd()), file.path()},
      base_(file.window_offset()),
      size_(size) {
  if (direct && file.try_direct()) alignment_ = file.direct_alignment();
  file_.file.cached = alignment_.offset == 1;
  has_holes_ = file.status().kind == FileKind::regular;
}

FileSource::~FileSource() { ring_.forget(file_.file); }

Extent FileSource::extent_at(std::uint64_t offset) {
  assert(offset < size_);
  if (!last_.range.contains(offset)) last_ = find_extent(offset);
  return {range_between(offset, last_.range.end()), last_.kind};
}

Extent FileSource::find_extent(std::uint64_t offset) const {
  const Extent all_data{range_between(offset, size_), ExtentKind::data};
  if (!has_holes_) return all_data;
  const int fd = file_.file.fd;
  const off_t data = lseek(fd, static_cast<off_t>(base_ + offset), SEEK_DATA);
  if (data < 0 && errno == ENXIO) return {range_between(offset, size_), ExtentKind::hole};
  if (data < 0) return all_data;  // a file system that cannot say
  const auto data_begin = std::min(static_cast<std::uint64_t>(data) - base_, size_);
  if (data_begin > offset) return {range_between(offset, data_begin), ExtentKind::hole};
  const off_t hole = lseek(fd, static_cast<off_t>(base_ + offset), SEEK_HOLE);
  if (hole < 0 || static_cast<std::uint64_t>(hole) - base_ <= offset) return all_data;
  return {range_between(offset, std::min(static_cast<std::uint64_t>(hole) - base_, size_)),
          ExtentKind::data};
}

// The last sector of a file may be a partial one; the kernel reads what there is of it.
bool FileSource::is_aligned(ByteRange range, Buffer buffer) const noexcept {
  const auto address = reinterpret_cast<std::uintptr_t>(buffer.bytes.data());
  return (base_ + range.offset) % alignment_.offset == 0 && address % alignment_.memory == 0 &&
         align_up(range.length, alignment_.offset) <= buffer.bytes.size();
}

Task<std::size_t> FileSource::read(ByteRange range, Buffer buffer) {
  assert(range.end() <= size_);
  if (!is_aligned(range, buffer)) {
    co_await read_unaligned(range, buffer);
    co_return range.length;
  }
  const auto wanted = align_up(range.length, alignment_.offset);
  const std::size_t count =
      co_await read_full(ring_, file_, base_ + range.offset, buffer.first(wanted));
  if (count < range.length) throw ends_early(file_.path, range.offset + count);
  co_return range.length;
}

// Reads the sectors around `range`, for callers that do not follow the chunk grid.
Task<> FileSource::read_unaligned(ByteRange range, Buffer buffer) {
  const auto first = base_ + range.offset;
  const auto begin = align_down(first, alignment_.offset);
  const auto end = align_up(first + range.length, alignment_.offset);
  const AlignedMemory sectors(end - begin);
  const std::size_t count =
      co_await read_full(ring_, file_, begin, sectors.buffer().first(end - begin));
  if (begin + count < first + range.length) throw ends_early(file_.path, begin + count - base_);
  std::memcpy(buffer.bytes.data(), sectors.bytes().data() + (first - begin), range.length);
}

}  // namespace io
