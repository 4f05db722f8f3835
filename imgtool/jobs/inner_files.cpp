#include "imgtool/jobs/inner_files.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "imgtool/jobs/file_content.hpp"
#include "imgtool/terminal/escape.hpp"
#include "imgtool/terminal/report.hpp"
#include "imgtool/terminal/usage_error.hpp"
#include "io/error.hpp"

namespace imgtool {
namespace {

using formats::VolumeId;
using formats::VolumeKind;
using formats::filesystems::NodeId;
using formats::filesystems::NodeKind;

constexpr std::size_t longest_link = 4096;  // as Linux has it

std::string own_part_name(const VolumeId& id) {
  if (id.kind == VolumeKind::logical_volume) return id.logical_volume;
  return id.kind == VolumeKind::partition ? std::to_string(id.partition) : "disk";
}

// The names of a path, the last one first.
std::vector<std::string> names_of(std::string_view path) {
  std::vector<std::string> names;
  while (!path.empty()) {
    const std::size_t end = std::min(path.find('/'), path.size());
    if (end > 0 && path.substr(0, end) != ".") names.emplace_back(path.substr(0, end));
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  std::reverse(names.begin(), names.end());
  return names;
}

}  // namespace

InnerPath parse_inner_path(const std::string& word) {
  if (word.starts_with('/')) return {"", word};
  const std::size_t colon = word.find(":/");
  if (colon != std::string::npos && colon > 0) {
    return {word.substr(0, colon), word.substr(colon + 1)};
  }
  if (word.size() > 1 && word.ends_with(':')) return {word.substr(0, word.size() - 1), ""};
  throw UsageError(fmt::format(
      "'{}' is no path in an image: it begins with /, or with the part it lies in (2:/etc)", word));
}

std::string part_name(const VolumeId& id) {
  std::string name;
  for (const VolumeId& outer : id.within) name += own_part_name(outer) + '.';
  return name + own_part_name(id);
}

std::string InnerFileSystem::link_text(NodeId id) {
  std::string text;
  read_content(view(), tree().map_of(id), [&](std::uint64_t, std::span<const std::byte> bytes) {
    if (text.size() + bytes.size() > longest_link) {
      throw io::Error::format(view().name(), view().begin(),
                              "a symbolic link is longer than any is");
    }
    text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  });
  return text;
}

NodeId InnerFileSystem::find(std::string_view path, LastLink last) {
  constexpr unsigned most_links = 40;
  const auto fail = [&](std::string_view why) {
    throw io::Error(io::ErrorKind::format, view().name(),
                    fmt::format("{}:{}: {}", part_name(volume().id), path, why));
  };
  std::vector<NodeId> folders{tree().root()};  // that we are in, the outermost first
  std::vector<std::string> names = names_of(path);
  unsigned links = 0;
  while (!names.empty()) {
    const std::string name = std::move(names.back());
    names.pop_back();
    if (name == "..") {
      if (folders.size() > 1) folders.pop_back();
      continue;
    }
    const auto id = files_.child(folders.back(), name);
    if (!id) fail("there is no such file");
    const auto node = tree().look_at(*id);
    const bool is_last = names.empty();
    if (node.kind == NodeKind::link && (!is_last || last == LastLink::followed)) {
      if (++links > most_links) fail("its links go round in circles");
      const std::string text = link_text(*id);
      if (text.starts_with('/')) folders.resize(1);
      const std::vector<std::string> more = names_of(text);
      names.insert(names.end(), more.begin(), more.end());
      continue;
    }
    if (node.kind != NodeKind::folder && !is_last) fail("a part of it is no folder");
    folders.push_back(*id);
  }
  return folders.back();
}

InnerFiles::InnerFiles(io::Ring& ring, io::Source& disk, const io::StopFlag& stop)
    : disk_(ring, disk, &stop) {
  formats::FreeSpaceOptions options;
  options.witnesses_only = true;
  options.hibernated_never_resumes = true;
  options.thin_pools = false;
  for (formats::Volume& volume : formats::find_free_space(disk_, options).volumes) {
    if (formats::filesystems::can_open_files(volume.file_system.type)) {
      volumes_.push_back(std::move(volume));
    }
  }
}

std::unique_ptr<InnerFileSystem> InnerFiles::open(const formats::Volume& volume) {
  return std::make_unique<InnerFileSystem>(disk_, volume);
}

std::unique_ptr<InnerFileSystem> InnerFiles::open(const std::string& part) {
  if (part.empty() && volumes_.size() == 1) return open(volumes_.front());
  std::string known;
  for (const formats::Volume& volume : volumes_) {
    const std::string name = part_name(volume.id);
    if (name == part || volume.name() == part) return open(volume);
    known += (known.empty() ? "" : ", ") + name;
  }
  if (volumes_.empty()) {
    throw io::Error(io::ErrorKind::unsupported, disk_.name(),
                    "holds no file system whose files imgtool reads");
  }
  if (part.empty()) {
    throw io::Error::refusal(disk_.name(),
                             fmt::format("holds several file systems; say which, as in {}:/ ({})",
                                         part_name(volumes_.front().id), known));
  }
  throw io::Error(io::ErrorKind::format, disk_.name(),
                  fmt::format("has no files to read in '{}'; there are: {}", part, known));
}

void note_warning(InnerFileSystem& files) {
  if (files.tree().warning().empty()) return;
  complain(terminal_text(fmt::format("note: {}: {} {}", files.view().name(), files.volume().name(),
                                     files.tree().warning())));
}

}  // namespace imgtool
