#include "formats/disks/discarded.hpp"

#include <algorithm>
#include <array>
#include <set>

#include "formats/disks/file_source.hpp"
#include "formats/disks/filesystems/ranges.hpp"
#include "formats/disks/filesystems/swap.hpp"
#include "formats/disks/opened_files.hpp"
#include "io/error.hpp"

namespace formats {
namespace {

using filesystems::FileMap;
using filesystems::Node;
using filesystems::NodeId;
using filesystems::NodeKind;

constexpr std::uint64_t swap_page = 4096;
constexpr auto paging_files = std::to_array<std::string_view>({"pagefile.sys", "swapfile.sys"});
constexpr std::string_view hibernation_file = "hiberfil.sys";
constexpr std::string_view sleeping = "may hold a hibernated system";
constexpr auto usual_swap_files = std::to_array<std::string_view>(
    {"/swapfile", "/swap.img", "/swap", "/swap/swapfile", "/var/swap", "/var/swapfile"});

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// The words of a line of fstab.
std::vector<std::string_view> words_of(std::string_view line) {
  constexpr std::string_view blanks = " \t";
  std::vector<std::string_view> words;
  for (std::size_t at = line.find_first_not_of(blanks); at != std::string_view::npos;) {
    const std::size_t end = std::min(line.find_first_of(blanks, at), line.size());
    words.push_back(line.substr(at, end - at));
    at = line.find_first_not_of(blanks, end);
  }
  return words;
}

class DiscardedSearch {
 public:
  DiscardedSearch(DiskView& disk, const Volume& volume, std::vector<DiscardedFile>& found)
      : files_(disk, volume), found_(found) {}

  void run() {
    if (!files_.tree().warning().empty()) return;
    if (files_.volume().file_system.type == "ntfs") {
      for (const std::string_view name : paging_files) paging_file(name);
      hibernation();
      return;
    }
    if (files_.tree().folds_case()) return;
    std::set<std::string> paths(usual_swap_files.begin(), usual_swap_files.end());
    for (std::string& path : paths_in_fstab()) paths.insert(std::move(path));
    for (const std::string& path : paths) swap_file(path);
  }

 private:
  // The file of a path without links, if it is there and has blocks of its own.
  std::optional<NodeId> find(std::string_view path) {
    NodeId id = files_.tree().root();
    while (!path.empty()) {
      const std::size_t end = std::min(path.find('/'), path.size());
      if (end > 0) {
        if (files_.tree().look_at(id).kind != NodeKind::folder) return std::nullopt;
        const auto child = files_.child(id, path.substr(0, end));
        if (!child) return std::nullopt;
        id = *child;
      }
      path.remove_prefix(std::min(end + 1, path.size()));
    }
    if (files_.tree().look_at(id).kind != NodeKind::file) return std::nullopt;
    return id;
  }

  std::vector<std::string> paths_in_fstab() {
    constexpr std::uint64_t longest = 64 * io::KiB;
    const auto id = find("/etc/fstab");
    if (!id) return {};
    FileMap map = files_.tree().map_of(*id);
    std::vector<std::byte> bytes = map.in_line;
    if (map.size > longest || map.in_line_coding != filesystems::Coding::none) return {};
    if (bytes.empty()) {
      if (!FileSource::is_plain(map)) return {};
      FileSource content(files_.view(), std::move(map));
      bytes =
          DiskView(files_.view().ring(), content, files_.view().stop()).read(0, *content.size());
    }
    std::vector<std::string> paths;
    std::string_view rest = text_of(bytes);
    while (!rest.empty()) {
      const std::size_t end = std::min(rest.find('\n'), rest.size());
      const auto words = words_of(rest.substr(0, end));
      rest.remove_prefix(std::min(end + 1, rest.size()));
      if (words.size() < 3 || words[2] != "swap" || !words[0].starts_with('/')) continue;
      if (!words[0].starts_with("/dev/")) paths.emplace_back(words[0]);
    }
    return paths;
  }

  void add(std::string_view path, const std::vector<io::ByteRange>& places,
           std::string kept_because, bool may_sleep) {
    const Volume& volume = files_.volume();
    DiscardedFile file{volume.name(),           volume.id, std::string(path), {},
                       std::move(kept_because), may_sleep};
    if (file.kept_because.empty()) {
      for (const io::ByteRange& place : places) {
        for (const io::ByteRange& on_disk : files_.places_of(place)) file.ranges.push_back(on_disk);
      }
      std::sort(file.ranges.begin(), file.ranges.end(),
                [](io::ByteRange a, io::ByteRange b) { return a.offset < b.offset; });
    }
    found_.push_back(std::move(file));
  }

  // Why the content of any such file has to stay; empty: it need not.
  std::string doubt_about(const Node& node, const FileMap& map) {
    if (!FileSource::is_plain(map)) return "is compressed";
    if (node.may_share) return "may share its blocks with another file";
    const auto& free = files_.volume().file_system.free;
    const auto& witnesses = files_.volume().file_system.witnesses;
    for (const auto& piece : map.pieces) {
      const io::ByteRange place{piece.place, piece.range.length};
      if (filesystems::overlaps(free, place)) return "lies where nothing is in use";
      for (const io::ByteRange& witness : witnesses) {
        if (!io::intersection(witness, place).empty()) return "lies where the file system does";
      }
    }
    return "";
  }

  // With its first page, all of it where there is a doubt.
  template <class Judge>
  void windows_file(std::string_view name, const Judge& judge) {
    const auto id = find(name);
    if (!id) return;
    const Node node = files_.tree().look_at(*id);
    FileMap map = files_.tree().map_of(*id);
    std::string because = doubt_about(node, map);
    FileSource content(files_.view(), std::move(map));
    if (because.empty() && node.size > 0) {
      DiskView view(files_.view().ring(), content, files_.view().stop());
      because = judge(view.read(0, std::min(node.size, swap_page)));
    }
    const bool may_sleep = name == hibernation_file && because == sleeping;
    add('/' + std::string(name), content.places_of({0, node.size}), std::move(because), may_sleep);
  }

  void paging_file(std::string_view name) {
    windows_file(name, [](const std::vector<std::byte>& start) {
      const std::string_view text = text_of(start);
      const bool is_dump = text.starts_with("PAGEDUMP") || text.starts_with("PAGEDU64");
      return std::string(is_dump ? "holds a crash dump that Windows has still to save" : "");
    });
  }

  // What Windows leaves behind when it has resumed is zeros. All else may be resumed, "wake" too:
  // a resume that failed and may be tried again.
  void hibernation() {
    windows_file(hibernation_file, [](const std::vector<std::byte>& start) {
      const bool is_zero = std::all_of(start.begin(), start.end(),
                                       [](std::byte byte) { return byte == std::byte{0}; });
      return is_zero ? std::string() : std::string(sleeping);
    });
  }

  void swap_file(const std::string& path) {
    const auto id = find(path);
    if (!id) return;
    const Node node = files_.tree().look_at(*id);
    FileMap map = files_.tree().map_of(*id);
    if (node.size < 10 * swap_page || !FileSource::is_plain(map)) return;
    std::string because = doubt_about(node, map);
    std::uint64_t mapped = 0;
    for (const auto& piece : map.pieces) mapped += piece.range.length;
    const bool has_holes = mapped < node.size;
    FileSource content(files_.view(), std::move(map));
    DiskView view(files_.view().ring(), content, files_.view().stop());
    const auto swap = filesystems::probe_swap(view);
    if (!swap) return;
    if (because.empty()) because = swap->kept_because;
    if (because.empty() && swap->size > node.size) because = "is shorter than its header says";
    if (because.empty() && has_holes) because = "has holes, as no swap file has";
    std::vector<io::ByteRange> places;
    for (const io::ByteRange& free : swap->free) {
      for (const io::ByteRange& place : content.places_of(free)) places.push_back(place);
    }
    add(path, places, std::move(because), swap->type == filesystems::hibernated_type);
  }

  OpenedFiles files_;
  std::vector<DiscardedFile>& found_;
};

void keep_what_a_sleeping_system_needs(std::vector<DiscardedFile>& files) {
  const auto bed = std::find_if(files.begin(), files.end(),
                                [](const DiscardedFile& file) { return file.may_sleep; });
  if (bed == files.end()) return;
  for (DiscardedFile& file : files) {
    if (!file.kept_because.empty()) continue;
    file.ranges.clear();
    file.kept_because = "a hibernated system may need it, which sleeps in " + bed->path;
  }
}

}  // namespace

std::uint64_t DiscardedFile::bytes() const {
  std::uint64_t sum = 0;
  for (const io::ByteRange& range : ranges) sum += range.length;
  return sum;
}

std::vector<DiscardedFile> find_discarded(DiskView& disk, const std::vector<Volume>& volumes) {
  std::vector<DiscardedFile> found;
  for (const Volume& volume : volumes) {
    const auto& file_system = volume.file_system;
    if (!filesystems::can_open_files(file_system.type)) continue;
    if (file_system.kept_whole() || volume.hashed || file_system.waits_for_replay) continue;
    const std::size_t before = found.size();
    try {
      DiscardedSearch(disk, volume, found).run();
    } catch (const io::Error& error) {
      if (error.kind() == io::ErrorKind::cancelled) throw;
      found.resize(before);  // all of it is kept
    }
  }
  keep_what_a_sleeping_system_needs(found);
  return found;
}

}  // namespace formats
