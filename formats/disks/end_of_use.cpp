#include "formats/disks/end_of_use.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "formats/disks/filesystems/probe.hpp"
#include "formats/disks/partitions/fit.hpp"

namespace formats {
namespace {

using filesystems::FileSystem;
using filesystems::Reason;
using partitions::Layout;
using partitions::Partition;

constexpr std::uint64_t block = 4096;

std::uint64_t end_of_data(DiskView& disk) {
  std::uint64_t end = 0;
  for (std::uint64_t at = 0; at < disk.size();) {
    const io::Extent extent = disk.source().extent_at(disk.begin() + at);
    at = std::min(extent.range.end() - disk.begin(), disk.size());
    if (!extent.reads_as_zero()) end = at;
  }
  return end;
}

std::string last_partition(const Layout& layout) {
  const std::uint64_t end = layout.end_of_partitions();
  for (const Partition& partition : layout.partitions) {
    if (partition.range.end() == end) return fmt::format("partition {}", partition.number);
  }
  return "the extended partition";
}

// Whether its superblock tells where it ends, although its map is not known.
bool tells_its_end(const FileSystem& found) {
  return !found.kept_whole() || found.reason == Reason::needs_replay ||
         found.reason == Reason::in_use;
}

// ISO images that start from sticks, too, have both by design.
bool shares_with_table(const FileSystem& found) {
  return found.type.empty() || found.type.find("iso9660") != std::string::npos;
}

EndOfUse without_partitions(DiskView& disk, const FileSystem& found) {
  if (found.type.empty()) return {end_of_data(disk), "data is stored up to there"};
  if (!tells_its_end(found)) {
    return {disk.size(), fmt::format("it holds {}, and how far is not known: {}", found.type,
                                     found.kept_because)};
  }
  return {found.size, fmt::format("a file system ({}) ends there", found.type)};
}

class RemainsSearch {
 public:
  RemainsSearch(DiskView& disk, const Layout& layout, std::uint64_t from)
      : disk_(disk), backups_(partitions::stray_backup(disk, from)) {
    if (!layout.gpt) return;
    // Where its header is damaged the entries count as what they are if they are the table's own.
    for (const io::Patch& patch : layout.gpt->backup_patches()) {
      const io::ByteRange place = patch.range();
      if (!disk.holds(place.offset, place.length)) continue;
      if (disk.read(place.offset, place.length) == patch.bytes) backups_.push_back(place);
    }
  }

  void look_at(io::ByteRange range) {
    for (std::uint64_t at = range.offset; at < range.end();) {
      const io::Extent extent = disk_.source().extent_at(disk_.begin() + at);
      const std::uint64_t extent_end = std::min(extent.range.end() - disk_.begin(), range.end());
      const std::uint64_t end =
          extent.reads_as_zero() ? extent_end : std::min(extent_end, at + io::MiB);
      if (!extent.reads_as_zero()) read(io::range_between(at, end));
      at = end;
    }
  }

  [[nodiscard]] const Remains& found() const { return found_; }

 private:
  void read(io::ByteRange range) {
    auto bytes = disk_.read(range.offset, range.length);
    for (const io::ByteRange& backup : backups_) {
      const io::ByteRange part = io::intersection(backup, range);
      if (part.empty()) continue;
      std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(part.offset - range.offset),
                  part.length, std::byte{0});
    }
    for (std::size_t at = 0; at < bytes.size(); at += block) {
      const std::size_t length = std::min<std::size_t>(block, bytes.size() - at);
      const auto begin = bytes.begin() + static_cast<std::ptrdiff_t>(at);
      const bool is_zero = std::all_of(begin, begin + static_cast<std::ptrdiff_t>(length),
                                       [](std::byte byte) { return byte == std::byte{0}; });
      if (!is_zero) note({range.offset + at, length});
    }
  }

  void note(io::ByteRange range) {
    if (found_.bytes == 0) found_.range = range;
    found_.range = io::range_between(found_.range.offset, range.end());
    found_.bytes += range.length;
  }

  DiskView& disk_;
  std::vector<io::ByteRange> backups_;
  Remains found_;
};

}  // namespace

EndOfUse end_of_use(DiskView& disk, const Layout& layout) {
  const FileSystem found = filesystems::probe(
      disk, {.last_on_disk = true, .map_check = filesystems::MapCheck::believed});
  if (layout.kind == partitions::TableKind::none || layout.end_of_partitions() == 0) {
    return without_partitions(disk, found);
  }
  if (!shares_with_table(found)) {
    return {disk.size(),
            fmt::format("it has a partition table and holds {} as a whole", found.type)};
  }
  if (!layout.trusted) {
    return {disk.size(),
            fmt::format("its partition table cannot be relied on: {}",
                        layout.problems.empty() ? "it is damaged" : layout.problems.front())};
  }
  if (!layout.gpt) return {layout.least_size(), last_partition(layout) + " ends there"};
  return {layout.least_size(),
          last_partition(layout) + " ends there, and the backup GPT needs its place behind it"};
}

Remains remains_behind(DiskView& disk, const Layout& layout, std::uint64_t at, Reach reach) {
  constexpr std::uint64_t near = io::MiB, far = 4 * io::MiB;
  RemainsSearch search(disk, layout, at);
  const io::ByteRange all = io::range_between(std::min(at, disk.size()), disk.size());
  if (reach == Reach::all || all.length <= near + far) {
    search.look_at(all);
  } else {
    search.look_at({all.offset, near});
    search.look_at({all.end() - far, far});
  }
  return search.found();
}

}  // namespace formats
