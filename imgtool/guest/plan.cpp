#include "imgtool/guest/plan.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "imgtool/terminal/escape.hpp"
#include "imgtool/terminal/human.hpp"
#include "imgtool/terminal/json.hpp"
#include "imgtool/terminal/table.hpp"

namespace imgtool::guest {
namespace {

using formats::partitions::Carry;
using formats::partitions::PartitionChange;
using formats::partitions::Placement;
using formats::partitions::TableKind;

constexpr std::string_view windows_recovery_type = "de94bbb4-06d1-4d40-a16a-bfd50179d6ac";
constexpr std::uint8_t windows_recovery_mbr_type = 0x27;

std::string_view action_name(Action action) {
  switch (action) {
    case Action::shrink:
      return "shrink";
    case Action::recreate:
      return "recreate";
    case Action::header_only:
      return "header-only";
    case Action::keep:
      break;
  }
  return "keep";
}

std::string size_or_nothing(const std::optional<std::uint64_t>& size) {
  return size ? human_size(*size) : "";
}

std::string remark_on(const VolumePlan& volume, const Placement* placement) {
  std::vector<std::string> parts;
  if (volume.action == Action::recreate) parts.emplace_back("made anew, files copied");
  if (volume.kept) parts.push_back("kept: " + volume.kept_because);
  if (volume.kept && !volume.remedy.empty()) parts.push_back(volume.remedy);
  if (placement != nullptr && placement->moved()) {
    parts.push_back("moves to " + human_size(placement->new_start));
  }
  if (placement != nullptr && !placement->why_not_moved.empty()) {
    parts.push_back("stays where it is: " + placement->why_not_moved);
  }
  if (volume.map_believed) parts.emplace_back("its files were not asked what they use");
  return join(parts, "; ");
}

void add_rows(Table& table, const Plan& plan, const VolumePlan& volume, std::size_t depth) {
  const Placement* placement = depth == 0 ? plan.placement_of(volume.partition) : nullptr;
  table.add({std::string(2 * (depth + 1), ' ') + volume.name, volume.type, volume.label,
             human_size(volume.size), size_or_nothing(volume.used), size_or_nothing(volume.minimum),
             human_size(volume.new_size), remark_on(volume, placement)});
  for (const VolumePlan& inner : volume.inside) add_rows(table, plan, inner, depth + 1);
}

Json number_or_null(const std::optional<std::uint64_t>& number) {
  return number ? Json(*number) : Json();
}
Json text_or_null(const std::string& text) { return text.empty() ? Json() : Json(text); }

Json describe_volume(const Plan& plan, const VolumePlan& volume, bool outermost) {
  Json entry;
  entry["name"] = volume.name;
  if (outermost) entry["number"] = volume.partition;
  entry["type"] = text_or_null(volume.type);
  entry["label"] = volume.label;
  entry["uuid"] = volume.uuid;
  entry["size"] = volume.size;
  entry["used"] = number_or_null(volume.used);
  entry["minimum"] = number_or_null(volume.minimum);
  entry["new-size"] = volume.new_size;
  entry["action"] = action_name(volume.action);
  entry["map-believed"] = volume.map_believed;
  entry["kept-because"] = text_or_null(volume.kept_because);
  entry["remedy"] = text_or_null(volume.remedy);
  if (const Placement* placement = outermost ? plan.placement_of(volume.partition) : nullptr) {
    entry["start"] = placement->old_start;
    entry["new-start"] = placement->new_start;
    entry["not-moved-because"] = text_or_null(placement->why_not_moved);
  }
  if (!volume.inside.empty()) {
    entry["inside"] = Json::array();
    for (const VolumePlan& inner : volume.inside) {
      entry["inside"].push_back(describe_volume(plan, inner, false));
    }
  }
  return entry;
}

}  // namespace

const Placement* Plan::placement_of(unsigned partition) const {
  const auto found = std::find_if(placements.begin(), placements.end(),
                                  [&](const Placement& one) { return one.number == partition; });
  return found == placements.end() ? nullptr : &*found;
}

formats::partitions::Relayout lay_out(formats::DiskView& disk, const SourceDisk& source,
                                      const std::vector<VolumePlan>& volumes, bool worked_on) {
  std::vector<PartitionChange> changes;
  changes.reserve(volumes.size());
  for (const VolumePlan& volume : volumes) {
    PartitionChange change;
    change.number = volume.partition;
    change.length = volume.new_size;
    const bool header_is_there = worked_on || !(volume.id && source.is_hibernated(*volume.id));
    if (volume.action == Action::header_only && header_is_there) change.carry = Carry::swap_header;
    changes.push_back(std::move(change));
  }
  formats::partitions::RelayoutOptions options;
  options.windows_mbr = source.windows_mbr();
  return formats::partitions::plan_relayout(disk, source.layout(), changes, options);
}

void add_notes(Plan& plan, const SourceDisk& source) {
  plan.notes.clear();
  for (const VolumePlan& volume : plan.volumes) {
    for_each_volume(volume, [&](const VolumePlan& one) {
      for (const std::string& note : one.notes) {
        plan.notes.push_back(fmt::format("{}: {}", title(one), note));
      }
    });
  }
  for (const auto& partition : source.layout().partitions) {
    const Placement* placement = plan.placement_of(partition.number);
    const bool recovery = source.layout().kind == TableKind::mbr
                              ? partition.mbr_type == windows_recovery_mbr_type
                              : to_string(partition.type) == windows_recovery_type;
    if (!recovery || placement == nullptr || !placement->moved()) continue;
    plan.notes.push_back(
        fmt::format("partition {}: Windows' recovery environment moves; in Windows, run reagentc "
                    "/disable and reagentc /enable once",
                    partition.number));
  }
  for (const io::ByteRange& range : plan.left_out) {
    plan.notes.push_back(
        fmt::format("{} at {} belong to no partition and hold something: they are left out",
                    human_size(range.length), human_size(range.offset)));
  }
}

std::string to_text(const Plan& plan, std::optional<std::size_t> width) {
  std::string text =
      terminal_text(fmt::format("{}: {} to {}", plan.source, human_size(plan.old_size),
                                human_size(plan.new_size))) +
      '\n';
  text +=
      terminal_text(fmt::format("engine: {}, because {}", plan.engine, plan.engine_because)) + '\n';
  Table table({{.title = "  "},
               {.title = "type"},
               {.title = "label", .cut = Column::Cut::back, .least = 8, .leaves = 1},
               {.title = "size", .right_aligned = true},
               {.title = "used", .leaves = 2, .right_aligned = true},
               {.title = "minimum", .leaves = 3, .right_aligned = true},
               {.title = "new size", .right_aligned = true},
               {.title = "", .cut = Column::Cut::never}});
  for (const VolumePlan& volume : plan.volumes) add_rows(table, plan, volume, 0);
  for (const std::string& line : table.lines(width)) text += line + '\n';
  for (const std::string& note : plan.notes) text += terminal_text("note: " + note) + '\n';
  return text;
}

Json to_json(const Plan& plan) {
  Json document;
  document["source"] = plan.source;
  document["size"] = plan.old_size;
  document["new-size"] = plan.new_size;
  document["engine"] = plan.engine;
  document["engine-because"] = plan.engine_because;
  document["volumes"] = Json::array();
  for (const VolumePlan& volume : plan.volumes) {
    document["volumes"].push_back(describe_volume(plan, volume, true));
  }
  document["notes"] = plan.notes;
  return document;
}

}  // namespace imgtool::guest
