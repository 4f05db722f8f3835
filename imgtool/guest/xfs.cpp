// XFS cannot be made smaller. It is kept, or made anew with the same UUID, label and features on a
// scratch disk, filled with the same files, and put in the place of the old one.
#include <algorithm>

#include <fmt/format.h>

#include "imgtool/guest/content.hpp"
#include "imgtool/guest/trouble.hpp"
#include "io/byte_range.hpp"

namespace imgtool::guest {
namespace {

constexpr std::uint64_t least_xfs = 300 * io::MiB;  // mkfs.xfs makes no smaller one
constexpr std::uint64_t xfs_log = 64 * io::MiB;
constexpr std::uint64_t least_xfs_slack = 64 * io::MiB;
constexpr unsigned xfs_slack_percent = 10;

struct XfsNumbers {
  std::string info;         // of xfs_info
  std::uint64_t files = 0;  // bytes of all files, those that share blocks counted each
  std::uint64_t used = 0;
};

// The value of "name=12" in what xfs_info says; "" when it does not say.
std::string xfs_value(std::string_view info, std::string_view name) {
  const std::string wanted = fmt::format("{}=", name);
  for (auto place = info.find(wanted); place != std::string_view::npos;
       place = info.find(wanted, place + 1)) {
    if (place > 0 && std::string_view(" \t,\n").find(info[place - 1]) == std::string_view::npos) {
      continue;
    }
    std::string_view value = info.substr(place + wanted.size());
    value = value.substr(value.find_first_not_of(' '));
    return std::string(value.substr(0, value.find_first_of(" ,\n")));
  }
  return "";
}

// The part of xfs_info that begins with `section`.
std::string xfs_section(std::string_view info, std::string_view section) {
  const auto before = info.find(fmt::format("\n{}", section));
  const bool first = info.starts_with(section);
  if (before == std::string_view::npos && !first) return "";
  const auto begin = first ? 0 : before + 1;
  auto end = begin;
  do {
    end = info.find('\n', end + 1);
  } while (end != std::string_view::npos && end + 1 < info.size() && info[end + 1] == ' ');
  return std::string(info.substr(begin, end == std::string_view::npos ? end : end - begin));
}

XfsNumbers read_xfs(ApplianceContext& context, const VolumePlan& volume) {
  XfsNumbers numbers;
  Mount mount(context.shell, volume.device, "ro,nouuid");
  const std::string doing = "measuring " + title(volume);
  numbers.info = context.shell.must(doing, "xfs_info /sysroot");
  numbers.used = number_after(
      context.shell.must(doing, "echo used $(df -B1 --output=used /sysroot | tail -n 1)"), "used");
  numbers.files = number_after(
      context.shell.must(doing, "echo files $(du -sxB1 /sysroot | cut -f 1)"), "files");
  mount.unmount();
  return numbers;
}

std::string xfs_obstacle(const std::string& info) {
  if (xfs_value(info, "crc") != "1") return "is of version 4, which mkfs.xfs may not make any more";
  if (xfs_section(info, "realtime").find("=none") == std::string::npos) {
    return "has a realtime section";
  }
  if (xfs_section(info, "log").find("=internal") == std::string::npos) {
    return "has its log on another device";
  }
  return "";
}

void measure_xfs(ApplianceContext& context, VolumePlan& volume) {
  if (!context.options.change_sizes) return;
  if (context.options.xfs == XfsChoice::keep) {
    volume.keep("XFS cannot be made smaller", "--xfs=recreate makes it anew");
    return;
  }
  const XfsNumbers numbers = read_xfs(context, volume);
  volume.used = numbers.used;
  volume.files = numbers.files;
  if (const auto obstacle = xfs_obstacle(numbers.info); !obstacle.empty()) {
    volume.keep(obstacle);
    return;
  }
  const std::uint64_t content = std::max(numbers.used, numbers.files) + xfs_log;
  volume.minimum = std::max(least_xfs, content);
  aim_for(volume, std::max(least_xfs, content + slack_above(content, context.options,
                                                            least_xfs_slack, xfs_slack_percent)));
  if (!volume.changes()) return;
  volume.action = Action::recreate;
  volume.notes.emplace_back(
      "The files are copied into a new XFS: inode numbers, project quotas, shared blocks and "
      "chattr's flags are not the same afterwards.");
}

// With what the guest's kernel and boot loader could read until now, and nothing else.
std::string mkfs_command(ApplianceContext& context, const VolumePlan& volume,
                         const std::string& info) {
  const std::string meta = xfs_section(info, "meta-data");
  const std::string data = xfs_section(info, "data");
  const std::string naming = xfs_section(info, "naming");
  std::string features = fmt::format("crc=1,uuid={}", volume.uuid);
  for (const char* name : {"finobt", "rmapbt", "reflink", "bigtime", "inobtcount"}) {
    const std::string value = xfs_value(meta, name);
    features += fmt::format(",{}={}", name, value.empty() ? "0" : value);
  }
  const auto sparse = xfs_value(meta, "sparse");
  std::string inodes =
      fmt::format("size={},sparse={}", xfs_value(meta, "isize"), sparse.empty() ? "0" : sparse);
  if (const auto wide = xfs_value(meta, "nrext64"); !wide.empty()) inodes += ",nrext64=" + wide;
  const std::string folded = xfs_value(naming, "ascii-ci");
  const std::string label = volume.label.empty() ? "" : "-L " + shell_word(volume.label);
  return fmt::format(
      "mkfs.xfs -f -q -K -m {} -i {} -n version={},size={},ftype={} -b size={} -s size={} {} "
      "-d size={} {}",
      features, inodes, folded == "1" ? "ci" : "2", xfs_value(naming, "bsize"),
      xfs_value(naming, "ftype"), xfs_value(data, "bsize"), xfs_value(meta, "sectsz"), label,
      volume.new_size, context.scratch_device);
}

void recreate_xfs(ApplianceContext& context, VolumePlan& volume) {
  context.step("recreating " + title(volume));
  const std::string doing = "recreating " + title(volume);
  const XfsNumbers numbers = read_xfs(context, volume);
  // Only what the new one has: where the scratch disk is encrypted, zeros take room, too.
  context.shell.must(
      doing, fmt::format("blkdiscard -f -z -l {} {}", volume.new_size, context.scratch_device));
  context.shell.must(doing, mkfs_command(context, volume, numbers.info));
  context.shell.must(doing, fmt::format("mkdir -p /tmp/old /tmp/new && "
                                        "mount -t xfs -o ro,nouuid {} /tmp/old && "
                                        "mount -t xfs -o nouuid {} /tmp/new",
                                        shell_word(volume.device), context.scratch_device));
  context.shell.must(doing, "cp -a --preserve=all --sparse=always /tmp/old/. /tmp/new/");
  const auto different = context.shell.run(
      "export TMPDIR=" + context.list_folder +
      " && for side in old new; do cd /tmp/$side && "
      "find . -type d -printf '%P %y %m %U %G %T@\\n' -o "
      "-printf '%P %y %m %U %G %s %T@ %n %l\\n' | sort >$TMPDIR/$side.list; cd /; done; "
      "cmp $TMPDIR/old.list $TMPDIR/new.list");
  context.shell.must(doing, "umount /tmp/old && umount /tmp/new");
  if (different.code != 0) throw trouble(doing + ": the copy has other files than the original");
  context.shell.must(doing, fmt::format("blkdiscard -f -z {0} && dd if={1} of={0} bs=1M count={2} "
                                        "conv=sparse,notrunc,fsync",
                                        shell_word(volume.device), context.scratch_device,
                                        volume.new_size / io::MiB));
}

void check_xfs(ApplianceContext& context, const VolumePlan& volume) {
  context.shell.must("checking " + title(volume), "xfs_repair -n " + shell_word(volume.device));
}

void trim_xfs(ApplianceContext& context, const VolumePlan& volume) {
  Mount mount(context.shell, volume.device, "rw,nouuid");
  context.shell.must("trimming " + title(volume), "fstrim /sysroot");
  mount.unmount();
}

}  // namespace

const Content xfs_content = {" xfs ", measure_xfs, recreate_xfs, trim_xfs, check_xfs};

}  // namespace imgtool::guest
