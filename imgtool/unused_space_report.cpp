#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "imgtool/escape.hpp"
#include "imgtool/human.hpp"
#include "imgtool/unused_space.hpp"

namespace imgtool {
namespace {

using Json = nlohmann::ordered_json;

std::uint64_t bytes_below(const std::vector<io::ByteRange>& ranges, std::uint64_t size) {
  std::uint64_t bytes = 0;
  for (const io::ByteRange& range : ranges) {
    bytes += io::intersection(range, io::ByteRange{0, size}).length;
  }
  return bytes;
}

// "partition 2, ext4 "root"".
std::string title(const formats::Container& container) {
  const auto& found = container.file_system;
  std::string text = container.name;
  if (!found.type.empty()) text += ", " + found.type;
  if (!found.label.empty()) text += " \"" + found.label + '"';
  return text;
}

std::string line_of(const formats::Container& container, std::uint64_t size) {
  const auto& found = container.file_system;
  if (!found.kept_whole()) {
    std::string text = fmt::format("  {}: {} of {} left out", title(container),
                                   human_size(bytes_below(container.free, size)),
                                   human_size(container.range.length));
    if (!found.warning.empty()) text += "; " + found.warning;
    return text;
  }
  std::string text = fmt::format("  {}: kept whole, {}: {}", title(container),
                                 human_size(container.range.length), found.kept_because);
  if (!found.remedy.empty()) text += "; " + found.remedy;
  return text;
}

}  // namespace

std::string unused_space_in_words(const formats::FreeSpace& found, std::uint64_t size) {
  std::string text = fmt::format("{} left out that no file system uses\n",
                                 human_size(bytes_below(found.free, size)));
  for (const formats::Container& container : found.containers) {
    text += terminal_text(line_of(container, size)) + '\n';
  }
  return text;
}

Json unused_space_document(const formats::FreeSpace& found, std::uint64_t size) {
  Json document;
  document["free-bytes"] = bytes_below(found.free, size);
  document["file-systems"] = Json::array();
  for (const formats::Container& container : found.containers) {
    const auto& content = container.file_system;
    Json entry;
    entry["name"] = container.name;
    entry["start"] = container.range.offset;
    entry["length"] = container.range.length;
    entry["type"] = content.type.empty() ? Json() : Json(content.type);
    entry["label"] = content.label;
    entry["uuid"] = content.uuid;
    entry["free-bytes"] = bytes_below(container.free, size);
    entry["kept-because"] = content.kept_whole() ? Json(content.kept_because) : Json();
    entry["remedy"] = content.remedy.empty() ? Json() : Json(content.remedy);
    entry["warning"] = content.warning.empty() ? Json() : Json(content.warning);
    document["file-systems"].push_back(std::move(entry));
  }
  return document;
}

}  // namespace imgtool
