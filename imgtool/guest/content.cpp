#include "imgtool/guest/content.hpp"

#include <algorithm>
#include <array>
#include <sstream>

#include <fmt/format.h>

#include "imgtool/guest/trouble.hpp"
#include "imgtool/human.hpp"
#include "io/byte_range.hpp"

namespace imgtool::guest {
namespace {

constexpr std::uint64_t size_step = io::MiB;

std::string value_of(Shell& shell, const Volume& volume, std::string_view tag) {
  const auto found =
      shell.run(fmt::format("blkid -p -o value -s {} {}", tag, sh_word(volume.device)));
  std::string value = found.out;
  while (!value.empty() && value.back() == '\n') value.pop_back();
  return found.code == 0 ? value : "";
}

// What the user wants as it is, and the volume lies on, too: to work on one of several devices is
// to write to all of them.
const Volume* kept_part_of(Workshop& shop, const Volume& volume, const Content& content) {
  if (shop.kept.empty() || content.devices == nullptr) return nullptr;
  std::string words;
  for (const std::string& device : content.devices(shop, volume)) {
    const bool is_here = device.starts_with('/');  // else "missing", in the words of its program
    if (is_here) words += ' ' + sh_word(device);
  }
  std::istringstream below(
      shop.shell.must("looking for the devices of " + title(volume),
                      "lsblk --inverse --list --noheadings --paths --output NAME" + words));
  for (std::string device; std::getline(below, device);) {
    for (const Volume* kept : shop.kept) {
      if (kept->device == device) return kept;
    }
  }
  return nullptr;
}

// Their kernels do that when they mount.
void replay_by_mount(Workshop& shop, Volume& volume) {
  shop.step("replaying the journal of " + title(volume));
  const auto done = shop.shell.run(fmt::format("mount -o {} {} /sysroot && umount /sysroot",
                                               volume.type == "xfs" ? "rw,nouuid" : "rw",
                                               sh_word(volume.device)));
  if (done.code != 0) {
    throw refusal_of(volume, "its journal cannot be replayed: " + done.complaint(),
                     "repair it with its own tools");
  }
  note_replay(volume);
}

}  // namespace

void note_replay(Volume& volume) {
  volume.replayed = true;
  volume.notes.emplace_back("It had not been unmounted; its journal is replayed.");
}

bool ShrinkOptions::keeps(unsigned partition) const {
  return std::find(keep.begin(), keep.end(), partition) != keep.end();
}

const Content* content_of(std::string_view type) {
  constexpr std::array known = {&ext_content, &ntfs_content, &btrfs_content, &xfs_content,
                                &fat_content, &swap_content, &luks_content,  &lvm_content};
  if (type.empty() || type.find(' ') != std::string_view::npos) return nullptr;
  const std::string word = fmt::format(" {} ", type);
  for (const Content* content : known) {
    if (content->types.find(word) != std::string_view::npos) return content;
  }
  return nullptr;
}

void measure(Workshop& shop, Volume& volume) {
  volume.new_size = volume.size;
  if (shop.options.keeps(volume.partition)) {
    volume.keep("--keep");
    return;
  }
  if (!volume.why_kept.empty()) {
    volume.keep(volume.why_kept, volume.remedy);
    return;
  }
  const Content* content = content_of(volume.type);
  if (content == nullptr) {
    volume.keep(volume.type.empty() ? "nobody knows what is in it"
                                    : volume.type + " cannot be made smaller here");
    return;
  }
  if (const Volume* kept = kept_part_of(shop, volume, *content)) {
    volume.left_alone = true;
    volume.keep(fmt::format("{}, which is kept, is a part of it", title(*kept)),
                fmt::format("it can be worked on without --keep {}", kept->partition));
    return;
  }
  if (shop.needs_replay && shop.needs_replay(volume.name)) replay_by_mount(shop, volume);
  shop.step("measuring " + title(volume));
  content->measure(shop, volume);
}

void change(Workshop& shop, Volume& volume) {
  if (!volume.changes()) return;
  const Content* content = content_of(volume.type);
  if (content->change != nullptr) content->change(shop, volume);
}

void trim(Workshop& shop, const Volume& volume) {
  for (const Volume& inner : volume.inside) trim(shop, inner);
  const Content* content = content_of(volume.type);
  if (!volume.trim || content == nullptr || content->trim == nullptr) return;
  shop.step("trimming " + title(volume));
  content->trim(shop, volume);
}

void check(Workshop& shop, const Volume& volume) {
  for (const Volume& inner : volume.inside) check(shop, inner);
  const Content* content = content_of(volume.type);
  const bool touched = volume.changes() || volume.replayed;
  if (!touched || content == nullptr || content->check == nullptr) return;
  shop.step("checking " + title(volume));
  content->check(shop, volume);
}

void reopen(Workshop& shop, const Volume& volume) {
  const Content* content = content_of(volume.type);
  if (volume.inside.empty() || content == nullptr || content->open == nullptr) return;
  content->open(shop, volume);
  for (const Volume& inner : volume.inside) reopen(shop, inner);
}

std::string title(const Volume& volume) {
  return volume.type.empty() ? volume.name : fmt::format("{} ({})", volume.name, volume.type);
}

io::Error refusal_of(const Volume& volume, const std::string& because, const std::string& remedy) {
  return io::Error::refusal(
      title(volume), fmt::format("{}; {}, or leave it as it is with --keep {}", because, remedy,
                                 volume.partition));
}

std::uint64_t slack_above(std::uint64_t minimum, const ShrinkOptions& options, std::uint64_t least,
                          unsigned share_percent) {
  if (options.slack) return *options.slack;
  if (options.minimal) return 0;
  return std::max(least, minimum / 100 * share_percent);
}

void aim_for(Volume& volume, std::uint64_t target) {
  target = io::align_up(target, size_step);
  if (target >= volume.size) {
    volume.keep(fmt::format("is as small as it gets with {} to spare",
                            human_size(target - volume.minimum.value_or(target))));
    return;
  }
  volume.action = Action::shrink;
  volume.new_size = target;
}

void identify(Shell& shell, Volume& volume) {
  volume.type = value_of(shell, volume, "TYPE");
  volume.label = value_of(shell, volume, "LABEL");
  volume.uuid = value_of(shell, volume, "UUID");
}

std::vector<std::uint64_t> sizes_of_devices(Shell& shell, const std::vector<std::string>& devices) {
  if (devices.empty()) return {};
  std::string words;
  for (const std::string& device : devices) words += ' ' + sh_word(device);
  // A slow machine may still be making the devices of partitions.
  const std::string said = shell.must(
      "measuring its disks",
      fmt::format("for d in{0}; do n=0; while ! test -b $d && test $n -lt 100; do sleep 0.1; "
                  "n=$((n + 1)); done; done; udevadm settle; blockdev --getsize64{0}",
                  words));
  std::vector<std::uint64_t> sizes;
  std::istringstream lines(said);
  for (std::uint64_t size = 0; lines >> size;) sizes.push_back(size);
  if (sizes.size() != devices.size()) throw trouble("some of its disks have no size");
  return sizes;
}

Mount::Mount(Shell& shell, const std::string& device, std::string_view options) : shell_(shell) {
  shell_.must("mounting " + device,
              fmt::format("mount -o {} {} /sysroot", options, sh_word(device)));
}

Mount::~Mount() {
  if (!mounted_) return;
  try {
    shell_.run("umount /sysroot");
  } catch (const io::Error&) {
    return;  // the machine is gone, and what was mounted with it
  }
}

void Mount::unmount() {
  mounted_ = false;
  shell_.must("unmounting", "umount /sysroot");
}

void trim_mounted(Workshop& shop, const Volume& volume) {
  Mount mount(shop.shell, volume.device, "rw");
  shop.shell.must("trimming " + title(volume), "fstrim /sysroot");
  mount.unmount();
}

}  // namespace imgtool::guest
