#include "imgtool/reports/unused_space_report.hpp"

#include <fmt/format.h>

#include "imgtool/terminal/escape.hpp"
#include "imgtool/terminal/human.hpp"
#include "imgtool/terminal/json.hpp"

namespace imgtool {
namespace {

std::uint64_t bytes_below(const std::vector<io::ByteRange>& ranges, std::uint64_t size) {
  std::uint64_t bytes = 0;
  for (const io::ByteRange& range : ranges) {
    bytes += io::intersection(range, io::ByteRange{0, size}).length;
  }
  return bytes;
}

// "partition 2, ext4 "root"".
std::string title(const formats::Volume& volume) {
  const auto& found = volume.file_system;
  std::string text = volume.name();
  if (!found.type.empty()) text += ", " + found.type;
  if (!found.label.empty()) text += " \"" + found.label + '"';
  return text;
}

std::string line_of(const formats::Volume& volume, std::uint64_t size) {
  const auto& found = volume.file_system;
  if (!found.kept_whole()) {
    std::string text =
        fmt::format("  {}: {} of {} left out", title(volume),
                    human_size(bytes_below(volume.free, size)), human_size(volume.range.length));
    if (found.map_is_believed) text += "; its files were not asked";
    if (!found.warning.empty()) text += "; " + found.warning;
    return text;
  }
  std::string text = fmt::format("  {}: kept whole, {}: {}", title(volume),
                                 human_size(volume.range.length), found.kept_because);
  if (!found.remedy.empty()) text += "; " + found.remedy;
  return text;
}

// "  partition 2, /swapfile: its content left out, 512 MiB".
std::string line_of(const formats::DiscardedFile& file, std::uint64_t size) {
  if (!file.kept_because.empty()) {
    return fmt::format("  {}, {}: kept: {}", file.place, file.path, file.kept_because);
  }
  return fmt::format("  {}, {}: its content left out, {}", file.place, file.path,
                     human_size(bytes_below(file.ranges, size)));
}

}  // namespace

Json discarded_document(const std::vector<formats::DiscardedFile>& files) {
  Json list = Json::array();
  for (const formats::DiscardedFile& file : files) {
    list.push_back(
        {{"place", file.place},
         {"path", file.path},
         {"bytes", file.bytes()},
         {"kept-because", file.kept_because.empty() ? Json() : Json(file.kept_because)}});
  }
  return list;
}

std::string unused_space_in_words(const formats::FreeSpace& found, std::uint64_t size) {
  std::string text = fmt::format("{} left out that no file system uses\n",
                                 human_size(bytes_below(found.free, size)));
  for (const formats::Volume& volume : found.volumes) {
    text += terminal_text(line_of(volume, size)) + '\n';
  }
  for (const formats::DiscardedFile& file : found.discarded) {
    text += terminal_text(line_of(file, size)) + '\n';
  }
  return text;
}

Json unused_space_document(const formats::FreeSpace& found, std::uint64_t size) {
  Json document;
  document["free-bytes"] = bytes_below(found.free, size);
  document["file-systems"] = Json::array();
  for (const formats::Volume& volume : found.volumes) {
    const auto& content = volume.file_system;
    Json entry;
    entry["name"] = volume.name();
    entry["start"] = volume.range.offset;
    entry["length"] = volume.range.length;
    entry["type"] = content.type.empty() ? Json() : Json(content.type);
    entry["label"] = content.label;
    entry["uuid"] = content.uuid;
    entry["free-bytes"] = bytes_below(volume.free, size);
    entry["map-believed"] = content.map_is_believed;
    entry["kept"] = content.kept_whole() ? Json(word_of(content.reason)) : Json();
    entry["kept-because"] = content.kept_whole() ? Json(content.kept_because) : Json();
    entry["remedy"] = content.remedy.empty() ? Json() : Json(content.remedy);
    entry["warning"] = content.warning.empty() ? Json() : Json(content.warning);
    document["file-systems"].push_back(std::move(entry));
  }
  document["discarded"] = discarded_document(found.discarded);
  return document;
}

}  // namespace imgtool
