// btrfs. Its kernel tells the least size it can have, and means it: a byte less, and the resize
// ends in a file system that takes no more writes.
#include <algorithm>
#include <charconv>
#include <sstream>

#include <fmt/format.h>

#include "imgtool/guest/content.hpp"
#include "imgtool/guest/trouble.hpp"

namespace imgtool::guest {
namespace {

std::string show_btrfs(ApplianceContext& context, const VolumePlan& volume) {
  return context.shell.must("measuring " + title(volume),
                            "btrfs filesystem show --raw " + shell_word(volume.device) + " 2>&1");
}

// "devid 2 size 314572800 used 104857600 path /dev/sda3", a line each.
std::vector<std::string> btrfs_devices(ApplianceContext& context, const VolumePlan& volume) {
  constexpr std::string_view label = " path ";
  std::vector<std::string> devices;
  std::istringstream lines(show_btrfs(context, volume));
  for (std::string line; std::getline(lines, line);) {
    const auto place = line.rfind(label);
    if (place != std::string::npos) devices.push_back(line.substr(place + label.size()));
  }
  return devices;
}

void measure_btrfs(ApplianceContext& context, VolumePlan& volume) {
  const std::string device = shell_word(volume.device);
  const std::string shown = show_btrfs(context, volume);
  if (const auto devices = number_after(shown, "Total devices"); devices != 1) {
    volume.left_alone = shown.find("missing") != std::string::npos;
    volume.keep(
        volume.left_alone
            ? fmt::format("is one of {} devices of a file system, not all of which are here",
                          devices)
            : fmt::format("is one of {} devices of a file system", devices),
        "with one device left (btrfs device remove, in its own system) it could be smaller");
    return;
  }
  const auto tried =
      volume.mapped
          ? CommandResult{}
          : context.shell.run(fmt::format("mount -o ro {} /sysroot && umount /sysroot", device));
  if (tried.code != 0) {
    volume.left_alone = true;
    volume.keep("cannot be mounted: " + tried.complaint());
    return;
  }
  if (!context.options.change_sizes) return;
  Mount mount(context.shell, volume.device, "ro");
  const std::string least = context.shell.must("measuring " + title(volume),
                                               "btrfs inspect-internal min-dev-size /sysroot");
  mount.unmount();
  std::uint64_t minimum = 0;
  std::from_chars(least.data(), least.data() + least.size(), minimum);
  if (minimum == 0) throw trouble("btrfs did not tell its least size");
  volume.minimum = minimum;
  aim_for(volume, minimum + context.options.slack.value_or(0));
}

void shrink_btrfs(ApplianceContext& context, VolumePlan& volume) {
  context.step("shrinking " + title(volume));
  Mount mount(context.shell, volume.device, "rw");
  const auto done =
      context.shell.run(fmt::format("btrfs filesystem resize {} /sysroot", volume.new_size));
  if (done.code != 0) {
    throw trouble(fmt::format("shrinking {}: {}; a larger --slack may help, or --keep {}",
                              title(volume), done.complaint(), volume.partition));
  }
  mount.unmount();
}

void check_btrfs(ApplianceContext& context, const VolumePlan& volume) {
  context.shell.must("checking " + title(volume),
                     "btrfs check --readonly " + shell_word(volume.device));
}

}  // namespace

const Content btrfs_content = {" btrfs ",   measure_btrfs, shrink_btrfs, trim_mounted,
                               check_btrfs, nullptr,       btrfs_devices};

}  // namespace imgtool::guest
