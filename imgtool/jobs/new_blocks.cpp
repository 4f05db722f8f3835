#include "imgtool/jobs/new_blocks.hpp"

#include "formats/images/vdi/new_image.hpp"
#include "formats/images/vhd/new_image.hpp"
#include "formats/images/vhdx/new_image.hpp"

namespace imgtool {

std::unique_ptr<formats::BlockLayout> new_blocks(const OutputPlan& plan, std::uint64_t size) {
  switch (plan.format) {
    case formats::Format::vpc:
      return formats::vhd::new_image(size, plan.vhd_kind);
    case formats::Format::vdi:
      return formats::vdi::new_image(size);
    case formats::Format::vhdx:
      return formats::vhdx::new_image(
          size, plan.block_size != 0 ? plan.block_size : formats::vhdx::usual_block_size(size));
    default:
      return nullptr;
  }
}

}  // namespace imgtool
