#include "imgtool/guest/content.hpp"

#include <algorithm>
#include <array>
#include <sstream>

#include <fmt/format.h>

#include "imgtool/guest/trouble.hpp"
#include "imgtool/terminal/human.hpp"
#include "io/byte_range.hpp"

namespace imgtool::guest {
namespace {

constexpr std::uint64_t size_step = io::MiB;

std::string value_of(Shell& shell, const VolumePlan& volume, std::string_view tag) {
  const auto found =
      shell.run(fmt::format("blkid -p -o value -s {} {}", tag, shell_word(volume.device)));
  std::string value = found.out;
  while (!value.empty() && value.back() == '\n') value.pop_back();
  return found.code == 0 ? value : "";
}

// What the user wants as it is, and the volume lies on, too: to work on one of several devices is
// to write to all of them.
const VolumePlan* kept_part_of(ApplianceContext& context, const VolumePlan& volume,
                               const Content& content) {
  if (context.kept.empty() || content.devices == nullptr) return nullptr;
  std::string words;
  for (const std::string& device : content.devices(context, volume)) {
    const bool is_here = device.starts_with('/');  // else "missing", in the words of its program
    if (is_here) words += ' ' + shell_word(device);
  }
  std::istringstream below(
      context.shell.must("looking for the devices of " + title(volume),
                         "lsblk --inverse --list --noheadings --paths --output NAME" + words));
  for (std::string device; std::getline(below, device);) {
    for (const VolumePlan* kept : context.kept) {
      if (kept->device == device) return kept;
    }
  }
  return nullptr;
}

// Their kernels do that when they mount.
void replay_by_mount(ApplianceContext& context, VolumePlan& volume) {
  context.step("replaying the journal of " + title(volume));
  const auto done = context.shell.run(fmt::format("mount -o {} {} /sysroot && umount /sysroot",
                                                  volume.type == "xfs" ? "rw,nouuid" : "rw",
                                                  shell_word(volume.device)));
  if (done.code != 0) {
    throw refusal_of(volume, "its journal cannot be replayed: " + done.complaint(),
                     "repair it with its own tools");
  }
  note_replay(volume);
}

}  // namespace

void note_replay(VolumePlan& volume) {
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

void measure(ApplianceContext& context, VolumePlan& volume) {
  volume.new_size = volume.size;
  if (context.options.keeps(volume.partition)) {
    volume.keep("--keep");
    return;
  }
  if (volume.kept) return;
  const Content* content = content_of(volume.type);
  if (content == nullptr) {
    volume.keep(volume.type.empty() ? "its content is of no known kind"
                                    : volume.type + " cannot be made smaller here");
    return;
  }
  if (const VolumePlan* kept = kept_part_of(context, volume, *content)) {
    volume.left_alone = true;
    volume.keep(fmt::format("{}, which is kept, is a part of it", title(*kept)),
                fmt::format("it can be worked on without --keep {}", kept->partition));
    return;
  }
  if (context.needs_replay && volume.id && context.needs_replay(*volume.id)) {
    replay_by_mount(context, volume);
  }
  context.step("measuring " + title(volume));
  content->measure(context, volume);
}

void change(ApplianceContext& context, VolumePlan& volume) {
  if (!volume.changes()) return;
  const Content* content = content_of(volume.type);
  if (content->change != nullptr) content->change(context, volume);
}

void trim(ApplianceContext& context, const VolumePlan& volume) {
  for (const VolumePlan& inner : volume.inside) trim(context, inner);
  const Content* content = content_of(volume.type);
  if (!volume.trim || content == nullptr || content->trim == nullptr) return;
  context.step("trimming " + title(volume));
  content->trim(context, volume);
}

void check(ApplianceContext& context, const VolumePlan& volume) {
  for (const VolumePlan& inner : volume.inside) check(context, inner);
  const Content* content = content_of(volume.type);
  const bool touched = volume.changes() || volume.replayed;
  if (!touched || content == nullptr || content->check == nullptr) return;
  context.step("checking " + title(volume));
  content->check(context, volume);
}

void reopen(ApplianceContext& context, const VolumePlan& volume) {
  const Content* content = content_of(volume.type);
  if (volume.inside.empty() || content == nullptr || content->open == nullptr) return;
  content->open(context, volume);
  for (const VolumePlan& inner : volume.inside) reopen(context, inner);
}

std::string title(const VolumePlan& volume) {
  return volume.type.empty() ? volume.name : fmt::format("{} ({})", volume.name, volume.type);
}

io::Error refusal_of(const VolumePlan& volume, const std::string& because,
                     const std::string& remedy) {
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

void aim_for(VolumePlan& volume, std::uint64_t target) {
  target = io::align_up(target, size_step);
  if (target >= volume.size) {
    volume.keep(fmt::format("is as small as it gets with {} to spare",
                            human_size(target - volume.minimum.value_or(target))));
    return;
  }
  volume.action = Action::shrink;
  volume.new_size = target;
}

void identify(Shell& shell, VolumePlan& volume) {
  volume.type = value_of(shell, volume, "TYPE");
  volume.label = value_of(shell, volume, "LABEL");
  volume.uuid = value_of(shell, volume, "UUID");
}

std::vector<std::uint64_t> sizes_of_devices(Shell& shell, const std::vector<std::string>& devices) {
  if (devices.empty()) return {};
  std::string words;
  for (const std::string& device : devices) words += ' ' + shell_word(device);
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
              fmt::format("mount -o {} {} /sysroot", options, shell_word(device)));
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

void trim_mounted(ApplianceContext& context, const VolumePlan& volume) {
  Mount mount(context.shell, volume.device, "rw");
  context.shell.must("trimming " + title(volume), "fstrim /sysroot");
  mount.unmount();
}

}  // namespace imgtool::guest
