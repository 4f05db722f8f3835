// LVM: logical volumes follow the file systems in them, are packed to the front of their physical
// volume, and that follows.
#include <algorithm>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "imgtool/guest/content.hpp"
#include "imgtool/guest/trouble.hpp"
#include "imgtool/terminal/human.hpp"
#include "io/byte_range.hpp"

namespace imgtool::guest {
namespace {

using LvmRows = nlohmann::json;

// Extents of a physical volume that follow one another.
struct ExtentRun {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  [[nodiscard]] std::uint64_t end() const noexcept { return first + count; }
};

// What an lvm command reports, a row an object.
LvmRows lvm_rows(Shell& shell, std::string_view what, const std::string& arguments) {
  const std::string text = shell.must(
      fmt::format("reading {}", what),
      fmt::format("lvm {}s --reportformat json --units b --nosuffix {}", what, arguments));
  try {
    // Its one member is called "lv", "pv", or with --segments "seg", "pvseg".
    return LvmRows::parse(text).at("report").at(0).front();
  } catch (const LvmRows::exception&) {
    throw trouble(fmt::format("lvm {}s reported what is not understood", what));
  }
}

std::uint64_t lvm_number(const LvmRows& row, const char* key) {
  return std::stoull(row.at(key).get<std::string>());
}

std::string lv_path(const VolumePlan& group, const std::string& volume) {
  return shell_word(fmt::format("{}/{}", group.group, volume));
}

void open_group(ApplianceContext& context, const VolumePlan& volume) {
  context.shell.must(
      "activating " + title(volume),
      fmt::format("lvm vgchange -ay {} && udevadm settle", shell_word(volume.group)));
}

struct Obstacle {
  std::string why;
  std::string remedy;
};

// All physical volumes of its group.
std::vector<std::string> lvm_devices(ApplianceContext& context, const VolumePlan& volume) {
  std::vector<std::string> devices;
  const std::string group =
      lvm_rows(context.shell, "pv", "-o vg_name " + shell_word(volume.device)).at(0).at("vg_name");
  if (group.empty()) return {volume.device};
  for (const LvmRows& row :
       lvm_rows(context.shell, "pv", fmt::format("-o pv_name --select 'vg_name=\"{}\"'", group))) {
    devices.push_back(row.at("pv_name"));
  }
  return devices;
}

// Why it cannot be looked into.
std::optional<Obstacle> obstacle_to_activation(const LvmRows& pv) {
  if (lvm_number(pv, "vg_missing_pv_count") != 0) {
    return Obstacle{"parts of its volume group are missing",
                    "give all its disks as one image, or remove what is missing (vgreduce "
                    "--removemissing)"};
  }
  if (pv.at("vg_exported").get<std::string>() != "") {
    return Obstacle{"its volume group is exported", "import it in its own system (vgimport)"};
  }
  return std::nullopt;
}

// Why the group cannot be made smaller here.
std::optional<Obstacle> obstacle_in_group(Shell& shell, const VolumePlan& volume,
                                          const LvmRows& pv) {
  if (pv.at("vg_permissions").get<std::string>() != "writeable") {
    return Obstacle{"its volume group may not be changed", "vgchange -prw in its own system"};
  }
  if (lvm_number(pv, "pv_mda_count") > 1) {
    return Obstacle{"it has metadata at its end, too", "lvm cannot make such a one smaller"};
  }
  if (const auto count = lvm_number(pv, "pv_count"); count != 1) {
    return Obstacle{fmt::format("its volume group has {} physical volumes", count),
                    "move all into one first, in its own system (pvmove, vgreduce)"};
  }
  for (const LvmRows& row : lvm_rows(
           shell, "lv", "-a --segments -o lv_name,segtype,lv_role " + shell_word(volume.group))) {
    const std::string type = row.at("segtype");
    if (type == "linear") continue;
    return Obstacle{fmt::format("its volume {} is of the kind {}, not linear",
                                row.at("lv_name").get<std::string>(), type),
                    "turn it into a linear one first, in its own system (lvconvert; snapshots: "
                    "lvremove)"};
  }
  return std::nullopt;
}

VolumePlan logical_volume(Shell& shell, const VolumePlan& group, const LvmRows& row) {
  VolumePlan volume;
  const std::string name = row.at("lv_name");
  const formats::VolumeId id{formats::VolumeKind::logical_volume, group.partition,
                             fmt::format("{}/{}", group.group, name)};
  volume.name = name_of(id);
  if (group.id) volume.id = id;
  volume.partition = group.partition;
  volume.device = fmt::format("/dev/{}/{}", group.group, name);
  volume.size = volume.new_size = lvm_number(row, "lv_size");
  volume.group = name;
  identify(shell, volume);
  return volume;
}

std::uint64_t packed_size(const VolumePlan& volume) {
  std::uint64_t size = volume.head;
  for (const VolumePlan& inner : volume.inside) size += io::align_up(inner.new_size, volume.extent);
  return io::align_up(size, io::MiB);
}

void keep_all(VolumePlan& volume, const std::string& because) {
  for (VolumePlan& inner : volume.inside) {
    if (inner.changes()) inner.keep("its physical volume keeps its size");
  }
  volume.keep(because);
}

void measure_lvm(ApplianceContext& context, VolumePlan& volume) {
  const LvmRows pv =
      lvm_rows(context.shell, "pv",
               "-o vg_name,vg_extent_size,vg_missing_pv_count,vg_exported,vg_permissions,"
               "pv_count,pv_mda_count,pe_start " +
                   shell_word(volume.device))
          .at(0);
  volume.group = pv.at("vg_name");
  if (volume.group.empty()) {
    volume.keep("is a physical volume of no volume group");
    return;
  }
  volume.extent = lvm_number(pv, "vg_extent_size");
  volume.head = lvm_number(pv, "pe_start");
  if (const auto obstacle = obstacle_to_activation(pv)) {
    volume.keep(obstacle->why, obstacle->remedy);
    return;
  }
  if (context.options.change_sizes) {
    if (const auto obstacle = obstacle_in_group(context.shell, volume, pv)) {
      volume.keep(obstacle->why, obstacle->remedy + "; sparsify drops what is free in it");
      return;
    }
  }
  open_group(context, volume);
  for (const LvmRows& row :
       lvm_rows(context.shell, "lv", "-o lv_name,lv_size,lv_layout " + shell_word(volume.group))) {
    if (row.at("lv_layout").get<std::string>().find("pool") != std::string::npos) continue;
    volume.inside.push_back(logical_volume(context.shell, volume, row));
  }
  for (VolumePlan& inner : volume.inside) {
    measure(context, inner);
    inner.new_size = std::min(io::align_up(inner.new_size, volume.extent), inner.size);
    if (inner.action != Action::header_only && inner.new_size == inner.size && inner.changes()) {
      inner.keep(fmt::format("it would save less than an extent of {}", human_size(volume.extent)));
    }
  }
  if (!context.options.change_sizes) return;
  if (packed_size(volume) >= volume.size) {
    keep_all(volume, "its volumes need all of it");
    return;
  }
  volume.action = Action::shrink;
  volume.new_size = packed_size(volume);
}

struct Occupation {
  std::vector<ExtentRun> used, free;
};

Occupation read_occupation(Shell& shell, const VolumePlan& volume) {
  Occupation found;
  for (const LvmRows& row :
       lvm_rows(shell, "pv",
                "--segments -o pvseg_start,pvseg_size,lv_name " + shell_word(volume.device))) {
    const ExtentRun run{lvm_number(row, "pvseg_start"), lvm_number(row, "pvseg_size")};
    (row.at("lv_name").get<std::string>().empty() ? found.free : found.used).push_back(run);
  }
  return found;
}

// Moves what lies at or behind extent `end` into the gaps before it, piece by piece.
void pack(Shell& shell, const VolumePlan& volume, std::uint64_t end) {
  const Occupation now = read_occupation(shell, volume);
  std::vector<ExtentRun> gaps;
  for (const ExtentRun& free : now.free) {
    if (free.first < end) gaps.push_back({free.first, std::min(free.end(), end) - free.first});
  }
  auto gap = gaps.begin();
  for (const ExtentRun& used : now.used) {
    std::uint64_t from = std::max(used.first, end);
    while (from < used.end()) {
      while (gap != gaps.end() && gap->count == 0) ++gap;
      if (gap == gaps.end()) throw trouble("packing " + title(volume) + ": there is no room");
      const std::uint64_t count = std::min(gap->count, used.end() - from);
      shell.must("packing " + title(volume),
                 fmt::format("lvm pvmove -i 1 --alloc anywhere {0}:{1}-{2} {0}:{3}-{4}",
                             shell_word(volume.device), from, from + count - 1, gap->first,
                             gap->first + count - 1));
      from += count;
      gap->first += count;
      gap->count -= count;
    }
  }
}

void change_lvm(ApplianceContext& context, VolumePlan& volume) {
  for (VolumePlan& inner : volume.inside) {
    change(context, inner);
    if (inner.action == Action::header_only) inner.action = Action::keep;  // it stays in its place
    inner.new_size = std::min(io::align_up(inner.new_size, volume.extent), inner.size);
    if (inner.new_size == inner.size) continue;
    context.shell.must("shrinking " + inner.name,
                       fmt::format("lvm lvreduce -y -f -l {} {}", inner.new_size / volume.extent,
                                   lv_path(volume, inner.group)));
  }
  if (packed_size(volume) >= volume.size) {
    volume.keep("its volumes need all of it");
    return;
  }
  context.step("packing " + title(volume));
  volume.new_size = packed_size(volume);
  pack(context.shell, volume, (volume.new_size - volume.head) / volume.extent);
  context.shell.must("shrinking " + title(volume),
                     fmt::format("lvm pvresize -y --setphysicalvolumesize {}b {}", volume.new_size,
                                 shell_word(volume.device)));
}

}  // namespace

const Content lvm_content = {" LVM2_member ", measure_lvm, change_lvm, nullptr,
                             nullptr,         open_group,  lvm_devices};

}  // namespace imgtool::guest
