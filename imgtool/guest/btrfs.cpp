// btrfs. Its kernel tells the least size it can have, and means it: a byte less, and the resize
// ends in a file system that takes no more writes.
#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "imgtool/guest/content.hpp"
#include "imgtool/guest/trouble.hpp"

namespace imgtool::guest {
namespace {

void measure_btrfs(Workshop& shop, Volume& volume) {
  Mount mount(shop.shell, volume.device, "ro");
  const std::string shown =
      shop.shell.must("measuring " + title(volume), "btrfs filesystem show --raw /sysroot");
  if (number_after(shown, "Total devices") != 1) {
    volume.keep("is one of several devices of a file system");
    return;
  }
  if (!shop.options.change_sizes) return;
  const std::string least =
      shop.shell.must("measuring " + title(volume), "btrfs inspect-internal min-dev-size /sysroot");
  mount.unmount();
  std::uint64_t minimum = 0;
  std::from_chars(least.data(), least.data() + least.size(), minimum);
  if (minimum == 0) throw trouble("btrfs did not tell its least size");
  volume.minimum = minimum;
  aim_for(volume, minimum + shop.options.slack.value_or(0));
}

void shrink_btrfs(Workshop& shop, Volume& volume) {
  shop.step("shrinking " + title(volume));
  Mount mount(shop.shell, volume.device, "rw");
  const auto done =
      shop.shell.run(fmt::format("btrfs filesystem resize {} /sysroot", volume.new_size));
  if (done.code != 0) {
    throw trouble(fmt::format("shrinking {}: {}; a larger --slack may help, or --keep {}",
                              title(volume), done.complaint(), volume.partition));
  }
  mount.unmount();
}

void check_btrfs(Workshop& shop, const Volume& volume) {
  shop.shell.must(fmt::format("checking {} after it was made smaller", title(volume)),
                  "btrfs check --readonly " + sh_word(volume.device));
}

}  // namespace

const Content btrfs_content = {" btrfs ", measure_btrfs, shrink_btrfs, trim_mounted, check_btrfs};

}  // namespace imgtool::guest
