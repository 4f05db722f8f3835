#include "imgtool/reports/analyze_report.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "imgtool/reports/survey_report.hpp"
#include "imgtool/reports/unused_space_report.hpp"
#include "imgtool/terminal/escape.hpp"
#include "imgtool/terminal/human.hpp"
#include "imgtool/terminal/json.hpp"
#include "imgtool/terminal/table.hpp"

namespace imgtool {
namespace {

using formats::DiskAnalysis;
using formats::Tally;
using formats::VolumeAnalysis;
using formats::partitions::Layout;
using formats::partitions::Partition;
using formats::partitions::TableKind;

const char* name_of_table(const Layout& layout) {
  if (layout.kind == TableKind::none) return "none";
  if (layout.kind == TableKind::mbr) return "mbr";
  return layout.hybrid ? "hybrid" : "gpt";
}

// What the file could be shorter by: stored bytes that are not needed.
std::uint64_t droppable(const ImageAnalysis& analysis) { return analysis.disk.free.stored(); }

std::uint64_t zeros_in_use(const ImageAnalysis& analysis) {
  return analysis.disk.disk.zeros - analysis.disk.free.zeros;
}

std::uint64_t leaked(const ImageAnalysis& analysis) {
  if (!analysis.qcow2 || !analysis.qcow2->check) return 0;
  return analysis.qcow2->check->leaks * analysis.qcow2->cluster_size;
}

Json json_of(const Tally& tally) {
  return {{"size", tally.size}, {"stored", tally.stored()}, {"stored-zeros", tally.zeros}};
}

Json json_of(const Partition& partition, TableKind kind) {
  Json json;
  json["number"] = partition.number;
  json["start"] = partition.range.offset;
  json["size"] = partition.range.length;
  json["type"] = kind == TableKind::gpt ? to_string(partition.type)
                                        : fmt::format("0x{:02x}", partition.mbr_type);
  json["bootable"] = partition.bootable;
  if (kind == TableKind::mbr) json["logical"] = partition.logical;
  if (kind != TableKind::gpt) return json;
  json["id"] = to_string(partition.id);
  json["name"] = partition.name;
  json["attributes"] = partition.attributes;
  return json;
}

Json json_of(const Layout& layout) {
  Json json;
  json["kind"] = name_of_table(layout);
  if (layout.kind != TableKind::none) {
    json["id"] = layout.id();
    json["sector-size"] = layout.sector_size;
  }
  json["problems"] = layout.problems;
  json["partitions"] = Json::array();
  for (const Partition& partition : layout.partitions) {
    json["partitions"].push_back(json_of(partition, layout.kind));
  }
  return json;
}

Json json_of(const VolumeAnalysis& found) {
  const auto& file_system = found.volume.file_system;
  Json json;
  json["place"] = found.volume.name();
  json["start"] = found.volume.range.offset;
  json["size"] = found.volume.range.length;
  json["type"] = file_system.type.empty() ? Json() : Json(file_system.type);
  json["label"] = file_system.label;
  json["uuid"] = file_system.uuid;
  json["used"] = found.used;
  json["free"] = found.free.size;
  json["free-stored"] = found.free.stored();
  json["stored"] = found.all ? Json(found.all->stored()) : Json();
  json["stored-zeros"] = found.all ? Json(found.all->zeros) : Json();
  json["map-believed"] = file_system.map_is_believed;
  json["kept"] = file_system.kept_whole() ? Json(word_of(file_system.reason)) : Json();
  json["kept-because"] = file_system.kept_whole() ? Json(file_system.kept_because) : Json();
  json["remedy"] = file_system.remedy.empty() ? Json() : Json(file_system.remedy);
  return json;
}

Json json_of(const Qcow2Analysis& qcow2) {
  Json json;
  json["cluster-size"] = qcow2.cluster_size;
  if (const auto& check = qcow2.check) {
    json["allocated-clusters"] = check->allocated_clusters;
    json["fragmented-clusters"] = check->fragmented_clusters;
    json["compressed-clusters"] = check->compressed_clusters;
    json["leaked-clusters"] = check->leaks;
    json["corruptions"] = check->corruptions;
    json["check-errors"] = check->errors;
  }
  if (const auto& usage = qcow2.usage) {
    json["compressed-bytes"] = usage->compressed_bytes;
    json["snapshot-only-bytes"] = usage->snapshot_bytes;
    json["missing-bytes"] = usage->missing_bytes;
  }
  return json;
}

std::string plural(std::uint64_t count, const char* thing) {
  return fmt::format("{} {}{}", count, thing, count == 1 ? "" : "s");
}

void add_row(Table& table, const VolumeAnalysis& found, bool deep) {
  const auto& file_system = found.volume.file_system;
  const bool known = !file_system.kept_whole();
  table.add({found.volume.name(), file_system.type.empty() ? "?" : file_system.type,
             file_system.label, human_size(found.volume.range.length), human_size(found.used),
             known ? human_size(found.free.size) : "?",
             known ? human_size(found.free.stored()) : "?",
             found.all && (deep || found.all->zeros > 0) ? human_size(found.all->zeros) : ""});
}

std::string table_of(const ImageAnalysis& analysis, std::optional<std::size_t> width) {
  Table table({{"PLACE", Column::Cut::back, 12, 2, false},
               {"CONTENT", Column::Cut::back, 8, 1, false},
               {"LABEL", Column::Cut::back, 6, 3, false},
               {"SIZE", Column::Cut::never, 0, 0, true},
               {"IN USE", Column::Cut::never, 0, 0, true},
               {"FREE", Column::Cut::never, 0, 0, true},
               {"FREE, STORED", Column::Cut::never, 0, 0, true},
               {"ZEROS, STORED", Column::Cut::never, 0, 0, true}});
  const DiskAnalysis& disk = analysis.disk;
  for (const VolumeAnalysis& found : disk.volumes) add_row(table, found, analysis.deep);
  if (disk.layout.kind != TableKind::none) {
    table.add({"unpartitioned", "", "", human_size(disk.unpartitioned.size), "", "", "",
               analysis.deep ? human_size(disk.unpartitioned.zeros) : ""});
  }
  table.add({"all", "", "", human_size(disk.disk.size), human_size(disk.disk.size - disk.free.size),
             human_size(disk.free.size), human_size(disk.free.stored()),
             analysis.deep || disk.disk.zeros > 0 ? human_size(disk.disk.zeros) : ""});
  std::string text;
  for (const std::string& line : table.lines(width)) text += line + '\n';
  return text;
}

std::string heading(const ImageAnalysis& analysis) {
  const Layout& layout = analysis.disk.layout;
  std::string text = terminal_text(fmt::format("{}: {}", analysis.path, summary(analysis)));
  text += '\n';
  if (layout.kind == TableKind::none) {
    text += "no partition table\n";
  } else {
    text += fmt::format("{} {}, {}\n", layout.kind == TableKind::mbr ? "MBR" : "GPT", layout.id(),
                        plural(layout.partitions.size(), "partition"));
  }
  for (const std::string& problem : layout.problems) {
    text += fmt::format("  {}\n", terminal_text(problem));
  }
  return text + '\n';
}

std::string reasons(const DiskAnalysis& disk) {
  std::string text;
  for (const VolumeAnalysis& found : disk.volumes) {
    const auto& file_system = found.volume.file_system;
    if (file_system.map_is_believed) {
      text +=
          terminal_text(fmt::format("{}: its files were not asked whether they agree with its "
                                    "map of free space",
                                    found.volume.name()));
      text += '\n';
    }
    if (!file_system.kept_whole()) continue;
    text += terminal_text(
        fmt::format("{} counts as used: {}{}{}", found.volume.name(), file_system.kept_because,
                    file_system.remedy.empty() ? "" : "; to change that: ", file_system.remedy));
    text += '\n';
  }
  for (const formats::DiscardedFile& file : disk.discarded) {
    if (file.kept_because.empty()) continue;
    text += terminal_text(
        fmt::format("{}: {} is kept by --drop-swap: {}", file.place, file.path, file.kept_because));
    text += '\n';
  }
  return text.empty() ? "" : '\n' + text;
}

std::string in_words(const Qcow2Analysis& qcow2) {
  std::string text = fmt::format("\nqcow2 clusters of {}", human_size(qcow2.cluster_size));
  if (const auto& check = qcow2.check) {
    text += fmt::format(": {} allocated, {} of them compressed{}, {} fragmented, {} leaked",
                        check->allocated_clusters, check->compressed_clusters,
                        qcow2.usage && qcow2.usage->compressed_bytes > 0
                            ? fmt::format(" (to {})", human_size(qcow2.usage->compressed_bytes))
                            : "",
                        check->fragmented_clusters, check->leaks);
    if (check->corruptions + check->errors > 0) {
      text += fmt::format("; {} corrupt, see imgtool check", check->corruptions + check->errors);
    }
  } else {
    text += ": too many to be checked";
  }
  if (qcow2.usage && qcow2.usage->snapshot_bytes > 0) {
    text += fmt::format("; {} only for snapshots", human_size(qcow2.usage->snapshot_bytes));
  }
  if (qcow2.usage && qcow2.usage->missing_bytes > 0) {
    text += fmt::format("; {} lie past the end of the file: it was truncated, and they are lost",
                        human_size(qcow2.usage->missing_bytes));
  }
  return text + '\n';
}

std::string savings(const ImageAnalysis& analysis) {
  const std::uint64_t free = droppable(analysis);
  const std::uint64_t zeros = zeros_in_use(analysis);
  std::string text;
  if (free > 0) {
    text += fmt::format(
        "  {} that no file system uses (about: whole clusters of the result "
        "count)\n",
        human_size(free));
  }
  if (zeros > 0) text += fmt::format("  {} of zeros that are stored as data\n", human_size(zeros));
  if (analysis.disk.swap.stored() > 0) {
    text += fmt::format("  {} in paging and swap files (--drop-swap leaves it out)\n",
                        human_size(analysis.disk.swap.stored()));
  }
  if (leaked(analysis) > 0) {
    text += fmt::format("  {} of leaked clusters\n", human_size(leaked(analysis)));
  }
  if (!analysis.deep) {
    text += "  stored zeros, if there are any: --deep reads the data to find them\n";
  }
  return text.empty() ? "\nnothing is stored in vain\n" : "\nstored in vain:\n" + text;
}

Json json_of(const std::vector<Prospect>& prospects) {
  Json json = Json::array();
  for (const auto& [command, forecast] : prospects) {
    json.push_back({{"command", command},
                    {"file-size", forecast.likely},
                    {"least", forecast.least},
                    {"most", forecast.most},
                    {"estimate", forecast.sampled}});
  }
  return json;
}

// What the image takes now, to compare with.
std::string present(const ImageAnalysis& analysis) {
  return human_size(analysis.block_device ? analysis.disk.disk.size : analysis.allocated);
}

std::string in_words(const formats::Forecast& forecast) {
  if (!forecast.sampled) return fmt::format("at most {}", human_size(forecast.most));
  return fmt::format("about {} ({} to {})", human_size(forecast.likely), human_size(forecast.least),
                     human_size(forecast.most));
}

std::string outlook(const ImageAnalysis& analysis) {
  if (!analysis.no_prospects_because.empty()) {
    return terminal_text(fmt::format("\nnothing can be said of what it could become: {}",
                                     analysis.no_prospects_because)) +
           '\n';
  }
  std::size_t width = 0;
  for (const Prospect& prospect : analysis.prospects) {
    width = std::max(width, prospect.command.size());
  }
  std::string text = "\nwhat would become of it (estimated from samples):\n";
  for (const auto& [command, forecast] : analysis.prospects) {
    text +=
        fmt::format("  {:<{}}  {} to {}\n", command, width, present(analysis), in_words(forecast));
  }
  return text;
}

}  // namespace

std::string summary(const ImageAnalysis& analysis) {
  const std::string inside =
      fmt::format("{}, {} inside", name_of(analysis.format), human_size(analysis.disk.disk.size));
  if (analysis.block_device) return inside + "; it is a disk itself";
  return fmt::format("{}; the file has {}, of which {} take space", inside,
                     human_size(analysis.file_size), human_size(analysis.allocated));
}

Json to_json(const ImageAnalysis& analysis) {
  const DiskAnalysis& disk = analysis.disk;
  Json json;
  json["image"] = analysis.path;
  json["format"] = name_of(analysis.format);
  json["virtual-size"] = disk.disk.size;
  json["file-size"] = analysis.file_size;
  json["allocated-size"] = analysis.block_device ? Json() : Json(analysis.allocated);
  json["deep"] = analysis.deep;
  json["stored"] = disk.disk.stored();
  json["stored-zeros"] = disk.disk.zeros;
  json["free"] = json_of(disk.free);
  json["unpartitioned"] = json_of(disk.unpartitioned);
  json["partition-table"] = json_of(disk.layout);
  json["containers"] = Json::array();
  for (const VolumeAnalysis& found : disk.volumes) {
    json["containers"].push_back(json_of(found));
  }
  json["qcow2"] = analysis.qcow2 ? json_of(*analysis.qcow2) : Json();
  json["stored-in-vain"] = {{"free", droppable(analysis)},
                            {"zeros", zeros_in_use(analysis)},
                            {"leaked", leaked(analysis)},
                            {"swap", disk.swap.stored()}};
  json["discarded"] = discarded_document(disk.discarded);
  json["next"] = json_of(analysis.prospects);
  if (analysis.files) json["files"] = to_json(*analysis.files);
  return json;
}

std::string to_text(const ImageAnalysis& analysis, std::optional<std::size_t> width) {
  std::string text = heading(analysis) + table_of(analysis, width) + reasons(analysis.disk);
  if (analysis.qcow2) text += in_words(*analysis.qcow2);
  text += savings(analysis) + outlook(analysis);
  if (analysis.files) text += to_text(*analysis.files, width);
  return text;
}

}  // namespace imgtool
