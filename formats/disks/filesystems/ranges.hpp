// Lists of byte ranges that are ascending and disjoint, as FileSystem::free is.
#pragma once

#include <algorithm>
#include <vector>

#include "io/byte_range.hpp"

namespace formats::filesystems {

// Whether `range` shares a byte with one of `ascending`. O(log n).
[[nodiscard]] inline bool overlaps(const std::vector<io::ByteRange>& ascending,
                                   io::ByteRange range) {
  const auto next =
      std::upper_bound(ascending.begin(), ascending.end(), range.offset,
                       [](std::uint64_t at, const io::ByteRange& r) { return at < r.end(); });
  return next != ascending.end() && next->offset < range.end();
}

// What of `ascending` is in none of `taken`, which are in any order and may overlap.
[[nodiscard]] std::vector<io::ByteRange> without(std::vector<io::ByteRange> ascending,
                                                 std::vector<io::ByteRange> taken);

}  // namespace formats::filesystems
