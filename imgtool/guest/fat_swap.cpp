// FAT and swap: their sizes stay.
#include "imgtool/guest/content.hpp"

namespace imgtool::guest {
namespace {

void measure_fat(Workshop& shop, Volume& volume) {
  if (shop.options.change_sizes) volume.keep("FAT is left as it is");
}

// The header is made by whoever writes the new disk; what lies behind it is of no use to anybody.
void measure_swap(Workshop& /*shop*/, Volume& volume) { volume.action = Action::header_only; }

}  // namespace

const Content fat_content = {" vfat ", measure_fat, nullptr, trim_mounted, nullptr};
const Content swap_content = {" swap ", measure_swap, nullptr, nullptr, nullptr};

}  // namespace imgtool::guest
