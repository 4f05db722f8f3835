#include "formats/images/contained_image.hpp"

namespace formats {

Placement ContainedImage::placement_at(std::uint64_t offset) {
  Placement placement = image_->placement_at(offset);
  if (place_.offset) {
    if (placement.offset) *placement.offset += *place_.offset;
  } else {
    placement.offset.reset();
    placement.compressed = placement.compressed || placement.data;
  }
  return placement;
}

void ContainedImage::confirm() {
  image_->confirm();
  if (place_.check) place_.check->finish();
}

}  // namespace formats
