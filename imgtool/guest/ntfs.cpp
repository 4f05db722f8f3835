// NTFS. ntfsresize sets the dirty flag, so that Windows checks the volume when it starts: that is
// its safety net, and stays.
#include <algorithm>

#include <fmt/format.h>

#include "imgtool/guest/content.hpp"
#include "imgtool/guest/trouble.hpp"
#include "io/byte_range.hpp"

namespace imgtool::guest {
namespace {

constexpr std::uint64_t large_ntfs = 4 * io::GiB;
// Real volumes fail near the minimum that is told (ntfs-3g#142, fogproject#789).
constexpr std::uint64_t least_large_ntfs_slack = 512 * io::MiB;
constexpr std::uint64_t least_ntfs_slack = 64 * io::MiB;
constexpr unsigned ntfs_slack_percent = 10;
constexpr unsigned most_dry_runs = 7;
// What Windows and its boot loader need stays as it is; resizing it has cost people their boot.
constexpr std::uint64_t system_reserved = 1 * io::GiB;

std::string ntfsresize(std::string_view options, const VolumePlan& volume) {
  return fmt::format("echo y | ntfsresize -P {} {}", options, shell_word(volume.device));
}

void measure_ntfs(ApplianceContext& context, VolumePlan& volume) {
  if (!context.options.change_sizes) return;
  if (volume.size <= system_reserved) {
    volume.keep("is small, and most likely Windows starts from it");
    return;
  }
  const auto found = context.shell.run(ntfsresize("-i", volume));
  if (found.out.find("You might resize at ") == std::string::npos) {
    if (found.out.find("olume is full") != std::string::npos) {
      volume.keep("is full");
      return;
    }
    throw refusal_of(volume, "ntfsresize cannot measure it: " + found.complaint(),
                     "check it in Windows (chkdsk /f), shut Windows down for good (shutdown /s)");
  }
  volume.minimum = number_after(found.out, "You might resize at ");
  const bool large = volume.size > large_ntfs;
  aim_for(volume, *volume.minimum + slack_above(*volume.minimum, context.options,
                                                large ? least_large_ntfs_slack : least_ntfs_slack,
                                                ntfs_slack_percent));
  if (volume.changes()) {
    volume.notes.emplace_back(
        "Windows checks this volume (chkdsk) when it starts the first time, and may drop its "
        "restore points (shadow copies).");
  }
}

void shrink_ntfs(ApplianceContext& context, VolumePlan& volume) {
  context.step("shrinking " + title(volume));
  // Rehearsals are cheap, and tell what the real run would.
  for (unsigned attempt = 1;; ++attempt) {
    const auto rehearsed =
        context.shell.run(ntfsresize(fmt::format("-n -f -s {}", volume.new_size), volume));
    const bool good =
        rehearsed.code == 0 && rehearsed.out.find("ended successfully") != std::string::npos;
    if (good) break;
    const std::uint64_t more = (volume.size - volume.new_size) / 10;
    volume.new_size = io::align_up(volume.new_size + more, io::MiB);
    if (attempt == most_dry_runs || volume.new_size >= volume.size) {
      volume.keep("ntfsresize would not do it: " + rehearsed.complaint());
      volume.notes.clear();
      return;
    }
  }
  const auto done = context.shell.run(ntfsresize(fmt::format("-f -s {}", volume.new_size), volume));
  if (done.code != 0) {
    throw failed_step(fmt::format("shrinking {}: {}; a larger --slack may help, or --keep {}",
                                  title(volume), done.complaint(), volume.partition));
  }
}

void trim_ntfs(ApplianceContext& context, const VolumePlan& volume) {
  // It is marked for chkdsk, which a mount has to be told to overlook.
  context.shell.must("mounting " + title(volume),
                     fmt::format("ntfs-3g -o rw,force {} /sysroot", shell_word(volume.device)));
  context.shell.must("trimming " + title(volume), "fstrim /sysroot");
  context.shell.must("unmounting " + title(volume), "umount /sysroot");
}

void check_ntfs(ApplianceContext& context, const VolumePlan& volume) {
  // Twice -f: it is marked for chkdsk on purpose.
  context.shell.must(fmt::format("checking {} after it was made smaller", title(volume)),
                     ntfsresize("-i -f -f", volume));
}

}  // namespace

const Content ntfs_content = {" ntfs ", measure_ntfs, shrink_ntfs, trim_ntfs, check_ntfs};

}  // namespace imgtool::guest
