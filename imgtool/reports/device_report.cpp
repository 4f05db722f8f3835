#include "imgtool/reports/device_report.hpp"

#include <sys/sysmacros.h>

#include <algorithm>

#include <fmt/format.h>

#include "imgtool/jobs/device_words.hpp"
#include "imgtool/terminal/escape.hpp"
#include "imgtool/terminal/human.hpp"
#include "imgtool/terminal/json.hpp"
#include "imgtool/terminal/table.hpp"

namespace imgtool {
namespace {

using io::BlockDevice;
using io::DeviceInventory;
using io::DeviceKind;
using io::DeviceUsage;
using io::DeviceUse;
using io::DeviceUseKind;
// --- for people ---------------------------------------------------------------------------

std::string_view use_heading(DeviceUseKind kind) {
  switch (kind) {
    case DeviceUseKind::system_disk:
      return "system";
    case DeviceUseKind::mounted:
      return "mounted";
    case DeviceUseKind::swap:
      return "swap";
    case DeviceUseKind::lvm:
      return "LVM";
    case DeviceUseKind::crypt:
      return "unlocked";
    case DeviceUseKind::multipath:
      return "path of";
    case DeviceUseKind::raid:
      return "RAID";
    case DeviceUseKind::loop:
      return "loop";
    case DeviceUseKind::bcache:
      return "bcache";
    case DeviceUseKind::unknown:
      return "cannot be told";
    default:
      return "held by";
  }
}

// "system: /, swap; mounted: /srv, /mnt/a and 3 more", in the order of `uses`.
std::string summary(const std::vector<DeviceUse>& uses) {
  constexpr std::size_t most_names = 3;
  std::vector<std::pair<DeviceUseKind, std::vector<std::string>>> groups;
  std::vector<std::string> said;  // by the system's entry: "/", "swap"
  for (const DeviceUse& use : uses) {
    if (use.kind == DeviceUseKind::system_disk) {
      groups.push_back({use.kind, {use.detail}});
      std::size_t begin = 0;
      for (std::size_t end = 0; end != std::string::npos; begin = end + 2) {
        end = use.detail.find(", ", begin);
        said.push_back(use.detail.substr(begin, end - begin));
      }
      continue;
    }
    const std::string key = use.kind == DeviceUseKind::swap ? "swap" : use.detail;
    if (std::find(said.begin(), said.end(), key) != said.end()) {
      continue;
    }
    if (groups.empty() || groups.back().first != use.kind) {
      groups.push_back({use.kind, {}});
    }
    groups.back().second.push_back(use.detail);
  }
  std::string text;
  for (auto& [kind, names] : groups) {
    const std::size_t count = names.size();
    names.resize(std::min(count, most_names));
    text += fmt::format("{}{}: {}", text.empty() ? "" : "; ", use_heading(kind),
                        fmt::join(names, ", "));
    text += count > most_names ? fmt::format(" and {} more", count - most_names) : "";
  }
  return text;
}

std::string use_text(const BlockDevice& device, const std::vector<DeviceUse>& uses) {
  std::string text = uses.empty() ? "free" : summary(uses);
  if (device.size_bytes == 0) {
    text = device.backing_file ? "empty" : "no medium";
  }
  text += device.read_only ? "; read-only" : "";
  text += device.removable ? "; removable" : "";
  return text;
}

std::string kind_text(const BlockDevice& device) {
  if (device.mapper.kind != io::MapperKind::none && device.mapper.kind != io::MapperKind::other) {
    return std::string(io::to_string(device.mapper.kind));
  }
  return device.raid_level.empty() ? std::string(io::to_string(device.kind)) : device.raid_level;
}

// --- for machines -------------------------------------------------------------------------

Json or_null(const std::string& text) { return text.empty() ? Json() : Json(text); }

template <typename Number>
Json or_null(const std::optional<Number>& number) {
  return number ? Json(*number) : Json();
}

// The same with "_" for "-", as the keys were up to version 0.1; they go with version 0.2.
void add_old_keys(Json& object) {
  Json old;
  for (const Json::Member& member : std::get<Json::Object>(object.value())) {
    std::string key = member.key;
    std::replace(key.begin(), key.end(), '-', '_');
    if (key != member.key) old[key] = member.value;
  }
  if (old.is_null()) return;
  object.update(old);
}

Json mapper_json(const io::MapperInfo& mapper) {
  if (mapper.kind == io::MapperKind::none) {
    return {};
  }
  Json json = {{"kind", io::to_string(mapper.kind)},
               {"name", mapper.name},
               {"uuid", or_null(mapper.uuid)},
               {"volume-group", or_null(mapper.volume_group)},
               {"logical-volume", or_null(mapper.logical_volume)},
               {"layer", or_null(mapper.layer)}};
  add_old_keys(json);
  return json;
}

Json limits_json(const io::QueueLimits& limits) {
  Json json = {{"requests", or_null(limits.request_count)},
               {"max-request", or_null(limits.max_request_bytes)},
               {"minimum-io", or_null(limits.minimum_io_bytes)},
               {"optimal-io", or_null(limits.optimal_io_bytes)},
               {"discard-granularity", or_null(limits.discard_granularity)},
               {"discard-max", or_null(limits.discard_max_bytes)},
               {"write-zeroes-max", or_null(limits.write_zeroes_max_bytes)},
               {"scheduler", or_null(limits.scheduler)},
               {"zoned", or_null(limits.zoned)},
               {"write-cache", limits.write_cache}};
  add_old_keys(json);
  return json;
}

Json uses_json(const std::vector<DeviceUse>& uses) {
  Json list = Json::array();
  for (const DeviceUse& use : uses) {
    list.push_back({{"kind", io::to_string(use.kind)},
                    {"detail", use.detail},
                    {"stack", use.stack},
                    {"text", phrase_of(use)},
                    {"remedy", or_null(remedy_of(use))}});
  }
  return list;
}

}  // namespace

std::vector<const BlockDevice*> listed_devices(const DeviceInventory& inventory, bool all) {
  const auto is_listed = [all](const BlockDevice& device) {
    if (device.size_bytes == 0) {
      return all && (device.kind == DeviceKind::disk || device.kind == DeviceKind::optical ||
                     device.kind == DeviceKind::floppy || device.backing_file);
    }
    return all || device.kind == DeviceKind::disk ||
           device.mapper.kind == io::MapperKind::multipath;
  };
  const auto rank = [&](const BlockDevice* device) {
    const DeviceKind kind = inventory.whole(*device).kind;
    return kind == DeviceKind::disk ? 0 : kind == DeviceKind::loop ? 2 : 1;
  };
  std::vector<const BlockDevice*> listed;
  for (const BlockDevice& device : inventory.devices()) {
    if (is_listed(device)) {
      listed.push_back(&device);
    }
  }
  std::stable_sort(listed.begin(), listed.end(),
                   [&](const BlockDevice* a, const BlockDevice* b) { return rank(a) < rank(b); });
  return listed;
}

std::string device_table(const std::vector<const BlockDevice*>& devices, const DeviceUsage& usage,
                         const DeviceTableOptions& options) {
  using Cut = Column::Cut;
  Table table({{.title = "DEVICE"},
               {.title = "SIZE", .right_aligned = true},
               {.title = "KIND", .leaves = 3},
               {.title = "BUS", .leaves = 2},
               {.title = "SECTORS", .leaves = 5},
               {.title = "MODEL", .cut = Cut::front, .least = 12, .leaves = 4},
               {.title = "SERIAL", .cut = Cut::front, .least = 12, .leaves = 1},
               {.title = "USED BY", .cut = Cut::back, .least = 16}});
  std::vector<std::string> below;  // what stands under each row
  for (const BlockDevice* device : devices) {
    const auto uses = usage.uses(*device);
    const std::string sectors =
        fmt::format("{}/{}", device->logical_sector_bytes, device->physical_sector_bytes);
    table.add(
        {device->path, human_size(device->size_bytes), options.kinds ? kind_text(*device) : "",
         device->transport == "loop" ? "" : device->transport, sectors,
         device->backing_file.value_or(device->model), device->serial, use_text(*device, uses)});
    std::string& lines = below.emplace_back();
    for (const std::string& link : device->links) {
      lines += fmt::format("    {}\n", terminal_text(link));
      if (!options.verbose) {
        break;
      }
    }
    for (const DeviceUse& use : options.verbose ? uses : std::vector<DeviceUse>()) {
      lines += fmt::format("    {}{}\n", terminal_text(phrase_of(use)),
                           remedy_of(use).empty() ? "" : ": " + terminal_text(remedy_of(use)));
    }
  }
  std::string text;
  const auto lines = table.lines(options.width);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    text += lines[i] + "\n" + (i > 0 ? below[i - 1] : "");
  }
  return text;
}

Json device_document(const BlockDevice& device, const DeviceUsage& usage) {
  const DeviceInventory& inventory = usage.stack().inventory();
  Json json = {{"path", device.path},
               {"name", device.name},
               {"major", major(device.number)},
               {"minor", minor(device.number)},
               {"kind", io::to_string(device.kind)},
               {"stable-path", device.stable_path()},
               {"links", device.links},
               {"port", or_null(device.port)},
               {"transport", or_null(device.transport)},
               {"model", or_null(device.model)},
               {"serial", or_null(device.serial)},
               {"other-serials", device.other_serials},
               {"wwn", or_null(device.wwn)},
               {"size", device.size_bytes},
               {"logical-sector", device.logical_sector_bytes},
               {"physical-sector", device.physical_sector_bytes},
               {"removable", device.removable},
               {"read-only", device.read_only},
               {"rotational", device.rotational}};
  const bool is_partition = device.kind == DeviceKind::partition;
  json["parent"] = or_null(device.parent);
  json["start"] = is_partition ? Json(device.start_bytes) : Json();
  json["partitions"] = device.partitions;
  json["holders"] = device.holders;
  json["slaves"] = device.slaves;
  json["mapper"] = mapper_json(device.mapper);
  json["raid-level"] = or_null(device.raid_level);
  json["backing-file"] = or_null(device.backing_file);
  json["limits"] = limits_json(inventory.queue_limits(device));
  json["system"] = usage.is_system(device);
  json["uses"] = uses_json(usage.uses(device));
  add_old_keys(json);
  return json;
}

}  // namespace imgtool
