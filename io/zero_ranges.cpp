#include "io/zero_ranges.hpp"

#include <algorithm>
#include <cassert>

#include "io/buffer_pool.hpp"

namespace io {

ZeroRanges::ZeroRanges(Source& disk, std::vector<ByteRange> ranges, std::uint64_t grain)
    : disk_(disk), ranges_(std::move(ranges)), grain_(grain) {
  assert(disk.seekable());
  assert(grain > 0 && grain % buffer_alignment == 0);
}

std::vector<ByteRange>::const_iterator ZeroRanges::find(std::uint64_t offset) const {
  return std::upper_bound(
      ranges_.begin(), ranges_.end(), offset,
      [](std::uint64_t at, const ByteRange& range) { return at < range.end(); });
}

Extent ZeroRanges::extent_at(std::uint64_t offset) {
  const std::uint64_t size = disk_.size().value_or(0);
  const auto zeros = find(offset);
  if (zeros != ranges_.end() && zeros->contains(offset)) {
    return {range_between(offset, std::min(zeros->end(), size)), ExtentKind::hole};
  }
  Extent extent = disk_.extent_at(offset);
  if (zeros != ranges_.end()) {
    extent.range = range_between(offset, std::min(extent.range.end(), zeros->offset));
  }
  return extent;
}

// What of `range` lies in none of the ranges, widened to the grain.
std::vector<ByteRange> ZeroRanges::to_read(ByteRange range) const {
  std::vector<ByteRange> pieces;
  std::uint64_t at = range.offset;
  for (auto zeros = find(at); at < range.end(); ++zeros) {
    const std::uint64_t end =
        zeros == ranges_.end() ? range.end() : std::min(zeros->offset, range.end());
    if (end > at) {
      const std::uint64_t first = range.offset + align_down(at - range.offset, grain_);
      const std::uint64_t last =
          std::min(range.offset + align_up(end - range.offset, grain_), range.end());
      if (!pieces.empty() && pieces.back().end() >= first) {
        pieces.back() = range_between(pieces.back().offset, last);
      } else {
        pieces.push_back(range_between(first, last));
      }
    }
    if (zeros == ranges_.end()) break;
    at = std::max(at, zeros->end());
  }
  return pieces;
}

Task<std::size_t> ZeroRanges::read(ByteRange range, Buffer buffer) {
  const std::vector<ByteRange> pieces = to_read(range);
  for (const ByteRange& piece : pieces) {
    const Buffer place =
        buffer.subspan(piece.offset - range.offset, align_up(piece.length, buffer_alignment));
    (void)co_await disk_.read(piece, place);
  }
  for (auto zeros = find(range.offset); zeros != ranges_.end(); ++zeros) {
    const ByteRange inside = intersection(*zeros, range);
    if (inside.empty()) break;
    const auto bytes = buffer.bytes.subspan(inside.offset - range.offset, inside.length);
    std::fill(bytes.begin(), bytes.end(), std::byte{0});
  }
  co_return range.length;
}

}  // namespace io
