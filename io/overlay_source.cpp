#include "io/overlay_source.hpp"

#include <algorithm>
#include <cassert>

namespace io {

OverlaySource::OverlaySource(Source& base, std::vector<Patch> patches, std::uint64_t size)
    : base_(base),
      patches_(std::move(patches)),
      size_(size),
      base_end_(std::min(size, base.size().value_or(0))) {
  assert(base.seekable());
  std::erase_if(patches_, [](const Patch& patch) { return patch.bytes.empty(); });
  std::sort(patches_.begin(), patches_.end(),
            [](const Patch& a, const Patch& b) { return a.offset < b.offset; });
  assert(patches_.empty() || patches_.back().range().end() <= size_);
}

Extent OverlaySource::extent_at(std::uint64_t offset) {
  assert(offset < size_);
  const auto next = std::find_if(patches_.begin(), patches_.end(),
                                 [&](const Patch& patch) { return patch.range().end() > offset; });
  const std::uint64_t until = next == patches_.end() ? size_ : next->offset;
  if (offset >= until) {
    return {range_between(offset, next->range().end()), ExtentKind::data};
  }
  if (offset >= base_end_) return {range_between(offset, until), ExtentKind::hole};
  Extent extent = base_.extent_at(offset);
  extent.range = range_between(offset, std::min({extent.range.end(), until, base_end_}));
  return extent;
}

Task<std::size_t> OverlaySource::read(ByteRange range, Buffer buffer) {
  assert(range.end() <= size_);
  const ByteRange below = intersection(range, {0, base_end_});
  if (!below.empty()) (void)co_await base_.read(below, buffer);
  const auto behind = buffer.bytes.first(range.length).subspan(below.length);
  std::fill(behind.begin(), behind.end(), std::byte{0});
  for (const Patch& patch : patches_) {
    const ByteRange shared = intersection(range, patch.range());
    if (shared.empty()) continue;
    std::copy_n(patch.bytes.begin() + static_cast<std::ptrdiff_t>(shared.offset - patch.offset),
                shared.length,
                buffer.bytes.begin() + static_cast<std::ptrdiff_t>(shared.offset - range.offset));
  }
  co_return range.length;
}

}  // namespace io
