// FAT and swap: their sizes stay.
#include <fmt/format.h>

#include "imgtool/guest/content.hpp"
#include "imgtool/guest/trouble.hpp"

namespace imgtool::guest {
namespace {

void measure_fat(ApplianceContext& context, VolumePlan& volume) {
  if (context.options.change_sizes) volume.keep("FAT is left as it is");
}

// Hibernating overwrites the signature of the header, which is at its page's end, and nothing else
// of it.
void drop_hibernated_system(ApplianceContext& context, VolumePlan& volume) {
  context.step("dropping the hibernated system in " + volume.name);
  const std::string device = shell_word(volume.device);
  context.shell.must("dropping the hibernated system in " + volume.name,
                     fmt::format("for page in 4096 8192 16384 32768 65536; do "
                                 "case $(dd if={0} bs=1 skip=$((page - 10)) count=9 status=none | "
                                 "tr -cd 0-9A-Z) in S1SUSPEND|S2SUSPEND|ULSUSPEND|LINHIB000) "
                                 "printf SWAPSPACE2 | dd of={0} bs=1 seek=$((page - 10)) "
                                 "conv=notrunc,fsync status=none;; esac; done",
                                 device));
  identify(context.shell, volume);
  if (volume.type != "swap") {
    throw failed_step(title(volume) +
                      " holds a hibernated system of an unknown kind; start that "
                      "system and shut it down");
  }
  volume.notes.emplace_back("The hibernated system's memory is dropped: it starts anew.");
}

// The header is made when the new disk is laid out; what lies behind it is of no use.
// But for a hibernated system: that is its memory.
void measure_swap(ApplianceContext& context, VolumePlan& volume) {
  if (volume.type == hibernated_type) {
    if (!context.options.drop_swap_content) {
      throw refusal_of(volume, "holds the memory of a hibernated system",
                       "start that and shut it down, drop it with --drop-swap-content");
    }
    drop_hibernated_system(context, volume);
  }
  volume.action = Action::header_only;
}

}  // namespace

const Content fat_content = {" vfat ", measure_fat, nullptr, trim_mounted, nullptr};
const Content swap_content = {" swap swsuspend ", measure_swap, nullptr, nullptr, nullptr};

}  // namespace imgtool::guest
