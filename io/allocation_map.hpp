// What kind of content every byte of a whole image is: its extents, in order.
#pragma once

#include "io/extent.hpp"
#include "io/range_map.hpp"

namespace io {

using AllocationMap = RangeMap<ExtentKind>;

// Bytes that must be read to be known.
[[nodiscard]] inline std::uint64_t data_bytes(const AllocationMap& map) {
  return map.total(ExtentKind::data);
}

}  // namespace io
