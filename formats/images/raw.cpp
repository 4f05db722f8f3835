#include "formats/images/raw.hpp"

namespace formats {

Placement RawImage::placement_at(std::uint64_t offset) {
  const io::Extent extent = source_.extent_at(offset);
  Placement placement;
  placement.range = extent.range;
  placement.present = true;
  placement.zero = extent.reads_as_zero();
  placement.data = !placement.zero;
  placement.offset = offset;
  return placement;
}

}  // namespace formats
