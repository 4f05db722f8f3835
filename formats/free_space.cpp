#include "formats/free_space.hpp"

#include <algorithm>
#include <array>
#include <cassert>

#include <fmt/format.h>

#include "formats/filesystems/lvm.hpp"
#include "formats/filesystems/opaque.hpp"
#include "formats/filesystems/probe.hpp"
#include "formats/filesystems/swap.hpp"
#include "formats/partitions/layout.hpp"
#include "io/error.hpp"

namespace formats {
namespace {

using filesystems::FileSystem;
using filesystems::LogicalVolume;
using partitions::Layout;
using partitions::Partition;

// Partitions that hold hashes over the blocks of other ones (Discoverable Partitions): the first
// bytes of their types' GUIDs, root and /usr for each architecture.
constexpr auto verity_types = std::to_array<std::string_view>({
    "2c7357ed", "77ff5f63",              // x86-64
    "d13c5d3b", "8f461b0d",              // x86
    "df3300ce", "6e11a4e7",              // arm64
    "7386cdf2", "c215d751",              // arm
    "86ed10d5", "6a491e03",              // ia64
    "f3393b22", "f46b2c26",              // loongarch64
    "d113af76", "46b98d8d", "d7cdd8d2",  // mips
    "906bd944", "ee2b9983", "df765d00",  // ppc64le, ppc
    "b6ed5582", "8f1056be", "ae0253be",  // riscv
    "cb1ee4e3", "b325bfbe", "31741cc4",  // riscv32, s390x
    "7ac63b47", "b663c618", "fc56d9e9",  // s390, alpha
    "8cce0d25", "4b7c1a8d", "6e5a1bc8",  // alpha, tilegx
});

// Parts of a whole that nobody here puts together.
struct OpaqueType {
  std::string_view guid;
  std::string_view because;
};
constexpr auto opaque_types = std::to_array<OpaqueType>({
    {"5808c8aa-7e8f-42e0-85d2-e1e90434cfb3", "is Windows' list of dynamic volumes"},
    {"af9b60a0-1431-4f62-bc68-3311714a69ad", "is a part of Windows' dynamic volumes"},
    {"e75caf8f-f680-4cee-afa3-b001e56efc2d", "is a part of Windows' Storage Spaces"},
});
constexpr std::uint8_t mbr_dynamic_volume = 0x42;

bool is_verity(const Layout& layout, const Partition& partition) {
  if (layout.kind != partitions::TableKind::gpt) return false;
  const std::string type = to_string(partition.type);
  return std::any_of(verity_types.begin(), verity_types.end(),
                     [&](std::string_view begin) { return type.starts_with(begin); }) ||
         partition.name.find("verity") != std::string::npos ||
         partition.name.find("vbmeta") != std::string::npos;
}

// Why its content does not matter, or nothing.
std::string_view opaque_because(const Layout& layout, const Partition& partition) {
  if (layout.kind == partitions::TableKind::mbr) {
    return partition.mbr_type == mbr_dynamic_volume ? opaque_types[1].because : "";
  }
  const std::string type = to_string(partition.type);
  for (const OpaqueType& opaque : opaque_types) {
    if (type == opaque.guid) return opaque.because;
  }
  return "";
}

std::vector<io::ByteRange> moved(std::vector<io::ByteRange> ranges, std::uint64_t by) {
  for (io::ByteRange& range : ranges) range.offset += by;
  return ranges;
}

// The same ranges of a volume, as bytes of the disk.
std::vector<io::ByteRange> moved(const std::vector<io::ByteRange>& ranges,
                                 const LogicalVolume& volume, std::uint64_t begin) {
  std::vector<io::ByteRange> result;
  result.reserve(ranges.size());
  for (const io::ByteRange& range : ranges) {
    for (const io::ByteRange& place : filesystems::places_of(volume, range)) {
      result.push_back({begin + place.offset, place.length});
    }
  }
  return result;
}

void sort(std::vector<io::ByteRange>& ranges) {
  std::sort(ranges.begin(), ranges.end(),
            [](const io::ByteRange& a, const io::ByteRange& b) { return a.offset < b.offset; });
}

// Sorts, and makes one range of those that touch or overlap.
std::vector<io::ByteRange> merged(std::vector<io::ByteRange> ranges) {
  sort(ranges);
  std::size_t kept = 0;
  for (const io::ByteRange& range : ranges) {
    if (kept > 0 && ranges[kept - 1].end() >= range.offset) {
      const std::uint64_t end = std::max(ranges[kept - 1].end(), range.end());
      ranges[kept - 1].length = end - ranges[kept - 1].offset;
    } else {
      ranges[kept++] = range;
    }
  }
  ranges.resize(kept);
  return ranges;
}

void keep(Container& container, std::string because, std::string remedy) {
  container.free.clear();
  container.file_system.free.clear();
  container.file_system.kept_because = std::move(because);
  container.file_system.remedy = std::move(remedy);
}

class Search {
 public:
  Search(DiskView& disk, const FreeSpaceOptions& options) : disk_(disk), options_(options) {
    assert(disk.begin() == 0);
  }

  FreeSpace run() {
    const io::ByteRange everything{0, disk_.size()};
    try {
      look_into_disk(everything);
    } catch (const io::Error& error) {
      if (error.kind() == io::ErrorKind::cancelled) throw;
      result_ = {};
      add_kept("whole disk", everything, fmt::format("could not be read: {}", error.what()));
    }
    keep_what_others_need();
    for (const Container& container : result_.containers) {
      result_.free.insert(result_.free.end(), container.free.begin(), container.free.end());
    }
    result_.free = merged(std::move(result_.free));
    result_.witnesses = merged(std::move(result_.witnesses));
    return std::move(result_);
  }

 private:
  void look_into_disk(io::ByteRange everything) {
    const Layout layout = partitions::read_layout_of_disk(disk_, options_.sector_size);
    if (layout.kind == partitions::TableKind::none) {
      look_into("whole disk", everything, {.last_on_disk = true});
    } else if (!is_ambiguous(everything)) {
      look_into_partitions(layout);
    }
  }

  // A partition table in a disk that is also a file system as a whole: one of them is old.
  bool is_ambiguous(io::ByteRange everything) {
    DiskView view = disk_.part(everything);
    FileSystem found = filesystems::probe(view, {.last_on_disk = true});
    if (found.type.empty()) return false;
    Container container{"whole disk", everything, std::move(found), {}};
    keep(container, "has a partition table and looks like a file system as a whole",
         "erase the one that is left over from before (wipefs)");
    result_.containers.push_back(std::move(container));
    return true;
  }

  void look_into_partitions(const Layout& layout) {
    std::uint64_t end = 0;
    for (const Partition& partition : layout.partitions) {
      end = std::max(end, partition.range.end());
    }
    for (const Partition& partition : layout.partitions) {
      const std::string name = fmt::format("partition {}", partition.number);
      if (is_verity(layout, partition)) hashed_ = true;
      if (!layout.trusted || !partition.sound) {
        add_kept(
            name, partition.range,
            layout.problems.empty() ? "its partition table is damaged" : layout.problems.front());
      } else if (const auto because = opaque_because(layout, partition); !because.empty()) {
        add_kept(name, partition.range, std::string(because));
      } else {
        look_into(name, partition.range, {.last_on_disk = partition.range.end() == end});
      }
    }
  }

  void add_kept(std::string name, io::ByteRange range, std::string because) {
    Container container{std::move(name), range, {}, {}};
    container.file_system.size = range.length;
    keep(container, std::move(because), "");
    result_.containers.push_back(std::move(container));
  }

  void look_into(std::string name, io::ByteRange range, const filesystems::Surroundings& around) {
    DiskView view = disk_.part(range);
    Container container{std::move(name), range, filesystems::probe(view, around), {}};
    for (const InUse& use : options_.in_use) {
      if (!io::intersection(use.range, range).empty()) keep(container, use.because, use.remedy);
    }
    container.free = moved(container.file_system.free, range.offset);
    add_witnesses(moved(container.file_system.witnesses, range.offset));
    const bool holds_volumes = !container.file_system.kept_whole() &&
                               container.file_system.type == filesystems::physical_volume_type;
    result_.containers.push_back(std::move(container));
    if (holds_volumes) look_into_volumes(view);
  }

  void look_into_volumes(DiskView& physical) {
    const auto found = filesystems::read_physical_volume(physical);
    if (!found) return;
    for (const LogicalVolume& volume : found->volumes) look_into_volume(physical, volume);
  }

  void look_into_volume(DiskView& physical, const LogicalVolume& volume) {
    std::string name = "logical volume " + volume.name;
    if (!volume.kept_because.empty()) {
      add_kept(std::move(name), {physical.begin(), volume.size}, volume.kept_because);
      return;
    }
    filesystems::VolumeSource source(disk_.source(), physical.begin(), volume);
    DiskView view(disk_.ring(), source, disk_.stop());
    const std::uint64_t first = physical.begin() + volume.segments.front().stripes.front();
    Container container{std::move(name), {first, volume.size}, filesystems::probe(view, {}), {}};
    container.free = moved(container.file_system.free, volume, physical.begin());
    sort(container.free);
    add_witnesses(moved(container.file_system.witnesses, volume, physical.begin()));
    result_.containers.push_back(std::move(container));
  }

  void add_witnesses(const std::vector<io::ByteRange>& ranges) {
    result_.witnesses.insert(result_.witnesses.end(), ranges.begin(), ranges.end());
  }

  // What one container holds can make the others' maps untrue.
  void keep_what_others_need() {
    bool hibernated = false;
    for (const Container& container : result_.containers) {
      hashed_ = hashed_ || filesystems::hashes_others(container.file_system.type);
      hibernated = hibernated || container.file_system.type == filesystems::hibernated_type;
    }
    for (Container& container : result_.containers) {
      if (container.file_system.kept_whole()) continue;
      if (hashed_) {
        keep(container, "the disk holds hashes over the blocks of its file systems, free ones too",
             "");
      } else if (hibernated && !options_.hibernated_never_resumes) {
        keep(container, "a hibernated system on this disk may have it mounted",
             "start that system and shut it down");
      }
    }
  }

  DiskView& disk_;
  const FreeSpaceOptions& options_;
  bool hashed_ = false;
  FreeSpace result_;
};

}  // namespace

FreeSpace find_free_space(DiskView& disk, const FreeSpaceOptions& options) {
  return Search(disk, options).run();
}

}  // namespace formats
