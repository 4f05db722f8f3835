#include "imgtool/reports/file_report.hpp"

#include <ctime>

#include <fmt/format.h>

#include "imgtool/jobs/inner_files.hpp"
#include "imgtool/terminal/escape.hpp"
#include "imgtool/terminal/human.hpp"
#include "imgtool/terminal/table.hpp"

namespace imgtool {
namespace {

using formats::filesystems::Node;
using formats::filesystems::NodeKind;

char letter_of(NodeKind kind) {
  switch (kind) {
    case NodeKind::file:
      return '-';
    case NodeKind::folder:
      return 'd';
    case NodeKind::link:
      return 'l';
    case NodeKind::character_device:
      return 'c';
    case NodeKind::block_device:
      return 'b';
    case NodeKind::pipe:
      return 'p';
    case NodeKind::socket:
      return 's';
    case NodeKind::other:
      break;
  }
  return '?';
}

std::string mode_text(const Node& node) {
  std::string text(1, letter_of(node.kind));
  for (unsigned bit = 9; bit-- > 0;) {
    text += (node.permissions >> bit & 1U) != 0 ? "xwr"[bit % 3] : '-';
  }
  // Set-user, set-group and sticky take the place of the x.
  const auto mark = [&](std::uint32_t flag, std::size_t place, char letter) {
    if ((node.permissions & flag) == 0) return;
    const bool is_executable = text[place] == 'x';
    text[place] = static_cast<char>(is_executable ? letter : letter - ('a' - 'A'));
  };
  mark(04000, 3, 's');
  mark(02000, 6, 's');
  mark(01000, 9, 't');
  return text;
}

// "2026-12-01 16:55", in UTC.
std::string time_text(std::int64_t seconds) {
  const auto moment = static_cast<std::time_t>(seconds);
  std::tm parts{};
  if (seconds == 0 || gmtime_r(&moment, &parts) == nullptr) return "-";
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}", parts.tm_year + 1900LL, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min);
}

}  // namespace

std::string_view word_of(NodeKind kind) {
  switch (kind) {
    case NodeKind::file:
      return "file";
    case NodeKind::folder:
      return "folder";
    case NodeKind::link:
      return "link";
    case NodeKind::character_device:
      return "character device";
    case NodeKind::block_device:
      return "block device";
    case NodeKind::pipe:
      return "pipe";
    case NodeKind::socket:
      return "socket";
    case NodeKind::other:
      break;
  }
  return "other";
}

std::string line_of(const Node& node, std::string_view name, std::string_view link) {
  std::string text =
      fmt::format("{} {:>5} {:>5} {:>12} {:>16} {}", mode_text(node), node.owner, node.group,
                  node.size, time_text(node.modified), terminal_text(name));
  if (!link.empty()) text += " -> " + terminal_text(link);
  return text + '\n';
}

Json json_of(const Node& node, std::string_view name, std::string_view link) {
  Json json;
  json["name"] = name;
  json["kind"] = word_of(node.kind);
  json["size"] = node.size;
  json["stored"] = node.stored;
  json["mode"] = node.permissions;
  json["owner"] = node.owner;
  json["group"] = node.group;
  json["links"] = node.links;
  json["modified"] = node.modified == 0 ? Json() : Json(node.modified);
  json["link"] = link.empty() ? Json() : Json(link);
  return json;
}

std::string parts_in_words(const std::vector<formats::Volume>& volumes,
                           std::optional<std::size_t> width) {
  Table table({{"PART", Column::Cut::never, 0, 0, false},
               {"CONTENT", Column::Cut::never, 0, 0, false},
               {"LABEL", Column::Cut::back, 6, 1, false},
               {"SIZE", Column::Cut::never, 0, 0, true}});
  for (const formats::Volume& volume : volumes) {
    table.add({part_name(volume.id) + ":", volume.file_system.type, volume.file_system.label,
               human_size(volume.range.length)});
  }
  std::string text;
  for (const std::string& line : table.lines(width)) text += line + '\n';
  return text;
}

Json parts_document(const std::vector<formats::Volume>& volumes) {
  Json list = Json::array();
  for (const formats::Volume& volume : volumes) {
    list.push_back({{"part", part_name(volume.id)},
                    {"place", volume.name()},
                    {"type", volume.file_system.type},
                    {"label", volume.file_system.label},
                    {"uuid", volume.file_system.uuid},
                    {"size", volume.range.length}});
  }
  return {{"parts", list}};
}

}  // namespace imgtool
