#include "formats/disks/free_space.hpp"

#include <algorithm>
#include <array>
#include <cassert>

#include <fmt/format.h>

#include "formats/disks/filesystems/doubt.hpp"
#include "formats/disks/filesystems/opaque.hpp"
#include "formats/disks/filesystems/probe.hpp"
#include "formats/disks/filesystems/swap.hpp"
#include "formats/disks/lvm/lvm.hpp"
#include "formats/disks/lvm/thin_pool.hpp"
#include "formats/disks/partitions/layout.hpp"
#include "io/error.hpp"

namespace formats {
namespace {

using filesystems::FileSystem;
using filesystems::LogicalVolume;
using filesystems::Reason;
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

// Parts of a whole that is not put together here.
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

// What may still be found, in all disks that lie in each other: so that memory is bounded.
struct Budget {
  std::size_t volumes = 1024;
  std::size_t ranges = std::size_t{8} << 20;  // free ones: 128 MiB, and as much for their sum
  std::uint64_t thin_blocks = std::uint64_t{4} << 20;  // of metadata, for the maps of thin volumes
};

class Search {
 public:
  // `within`: the volumes that this disk lies in.
  Search(DiskView& disk, const FreeSpaceOptions& options, std::vector<VolumeId> within,
         Budget& budget)
      : disk_(disk), options_(options), within_(std::move(within)), budget_(budget) {}

  FreeSpace run() {
    const io::ByteRange everything{0, disk_.size()};
    try {
      look_into_disk(everything);
    } catch (const io::Error& error) {
      if (error.kind() == io::ErrorKind::cancelled) throw;
      result_.volumes.clear();
      add_kept(own(VolumeId::disk()), everything, Reason::unreadable,
               fmt::format("could not be read: {}", error.what()));
    }
    keep_what_others_need();
    for (const Volume& volume : result_.volumes) {
      append(volume.free, result_.free);
      append(volume.witnesses, result_.witnesses);
    }
    result_.free = merged(std::move(result_.free));
    result_.witnesses = merged(std::move(result_.witnesses));
    return std::move(result_);
  }

 private:
  static void append(const std::vector<io::ByteRange>& ranges, std::vector<io::ByteRange>& all) {
    all.insert(all.end(), ranges.begin(), ranges.end());
  }

  // A boot sector's signature alone, over slots that are empty, tells of no partition.
  static bool is_no_table(const Layout& layout) {
    return layout.kind == partitions::TableKind::none ||
           (layout.kind == partitions::TableKind::mbr && layout.trusted &&
            layout.partitions.empty() && !layout.extended);
  }

  [[nodiscard]] VolumeId own(VolumeId id) const {
    id.within = within_;
    return id;
  }

  void look_into_disk(io::ByteRange everything) {
    result_.layout = partitions::read_layout_of_disk(disk_, options_.sector_size);
    if (is_no_table(result_.layout)) {
      look_into(own(VolumeId::disk()), everything, true);
    } else if (!is_ambiguous(everything)) {
      look_into_partitions(result_.layout);
    }
  }

  // A partition table in a disk that is also a file system as a whole: one of them is old.
  bool is_ambiguous(io::ByteRange everything) {
    DiskView view = disk_.part(everything);
    FileSystem found = filesystems::probe(
        view, {.last_on_disk = true, .map_check = filesystems::MapCheck::believed});
    if (found.type.empty()) return false;
    Volume volume{own(VolumeId::disk()), everything, std::move(found)};
    volume.keep(
        Reason::ambiguous,
        fmt::format("has a partition table and holds {} as a whole", volume.file_system.type),
        filesystems::which_is_in_use);
    result_.volumes.push_back(std::move(volume));
    return true;
  }

  void look_into_partitions(const Layout& layout) {
    budget_.volumes -= std::min(budget_.volumes, layout.partitions.size());
    std::uint64_t end = 0;
    for (const Partition& partition : layout.partitions) {
      end = std::max(end, partition.range.end());
    }
    for (const Partition& partition : layout.partitions) {
      const VolumeId id = own(VolumeId::of_partition(partition.number));
      if (is_verity(layout, partition)) hashed_ = true;
      if (!layout.trusted || !partition.sound) {
        add_kept(
            id, partition.range, Reason::bad_table,
            layout.problems.empty() ? "its partition table is damaged" : layout.problems.front());
      } else if (const auto because = opaque_because(layout, partition); !because.empty()) {
        add_kept(id, partition.range, Reason::unsupported, std::string(because));
      } else {
        look_into(id, partition.range, partition.range.end() == end);
      }
    }
  }

  void add_kept(VolumeId id, io::ByteRange range, Reason reason, std::string because) {
    Volume volume{std::move(id), range, {}};
    volume.file_system.size = range.length;
    volume.keep(reason, std::move(because));
    result_.volumes.push_back(std::move(volume));
  }

  [[nodiscard]] filesystems::Surroundings around(bool last_on_disk) const {
    using filesystems::MapCheck;
    if (options_.witnesses_only) return {last_on_disk, MapCheck::witnesses_only};
    return {last_on_disk, options_.trust_maps ? MapCheck::believed : MapCheck::with_files};
  }

  void look_into(VolumeId id, io::ByteRange range, bool last_on_disk) {
    DiskView view = disk_.part(range);
    Volume volume{std::move(id), range, filesystems::probe(view, around(last_on_disk))};
    volume.free = moved(volume.file_system.free, range.offset);
    volume.witnesses = moved(volume.file_system.witnesses, range.offset);
    const bool is_part = range.length < disk_.size();
    if (is_part) keep_if_partitioned(view, volume);
    spend(volume);
    for (const InUse& use : options_.in_use) {
      if (io::intersection(use.range, range).empty()) continue;
      volume.keep(Reason::in_use, use.because, use.remedy);
    }
    const auto place = [&](const std::vector<io::ByteRange>& ranges) {
      return moved(ranges, range.offset);
    };
    if (is_part && look_inside(view, volume, place, place)) return;
    const auto logical_volumes = volume.file_system.volumes;
    const unsigned partition = volume.id.partition;
    result_.volumes.push_back(std::move(volume));
    look_into_volumes(view, partition, logical_volumes);
  }

  // A volume of no known kind that holds a partition table: a virtual machine's disk. Its volumes
  // stand behind it; for `where` and `owned` see look_through(). False: it is none, and stays as
  // it is.
  template <class Where, class Owned>
  bool look_inside(DiskView& view, Volume& volume, const Where& where, const Owned& owned) {
    constexpr std::size_t deepest = 4;
    if (!options_.look_inside || within_.size() == deepest) return false;
    if (volume.file_system.reason != Reason::unknown || view.is_hole()) return false;
    Layout layout = partitions::read_layout(view);
    if (is_no_table(layout) || layout.partitions.size() >= budget_.volumes) return false;
    FreeSpaceOptions options = options_;
    options.in_use.clear();  // of this disk, and none of them lies in here
    options.sector_size.reset();
    std::vector<VolumeId> within = within_;
    within.push_back(volume.id);
    within.back().within.clear();
    FreeSpace inside = Search(view, options, std::move(within), budget_).run();

    FileSystem table;
    table.type = layout.gpt ? "gpt" : "dos";
    table.size = view.size();
    volume.file_system = std::move(table);
    result_.volumes.push_back(std::move(volume));
    for (Volume& one : inside.volumes) {
      const auto places = where({one.range});
      if (!places.empty()) one.range.offset = places.front().offset;
      one.free = owned(one.free);
      one.witnesses = where(one.witnesses);
      sort(one.free);
      result_.volumes.push_back(std::move(one));
    }
    return true;
  }

  // Each parser has a bound of its own, but there may be many volumes.
  void spend(Volume& volume) const {
    if (volume.free.size() > budget_.ranges) {
      volume.keep(Reason::unsupported, "the free space of this disk is in too many pieces");
    }
    budget_.ranges -= volume.free.size();
  }

  // A virtual machine's disk in a partition or a logical volume that was a file system before.
  static void keep_if_partitioned(DiskView& view, Volume& volume) {
    if (volume.file_system.kept_whole()) return;
    if (is_no_table(partitions::read_layout(view))) return;
    volume.keep(Reason::ambiguous,
                fmt::format("holds a partition table and {}", volume.file_system.type),
                filesystems::which_is_in_use);
  }

  void look_into_volumes(DiskView& physical, unsigned partition,
                         const std::vector<LogicalVolume>& volumes) {
    const auto is_thin = [&](const LogicalVolume& one) {
      return options_.thin_pools && one.pool != nullptr;
    };
    for (const LogicalVolume& one : volumes) {
      if (!is_thin(one)) look_into_volume(physical, partition, one);
    }
    for (const LogicalVolume& one : volumes) {
      if (is_thin(one) && !one.is_thin) look_into_pool(physical, partition, one, volumes);
    }
  }

  void look_into_volume(DiskView& physical, unsigned partition, const LogicalVolume& logical) {
    VolumeId id = own({VolumeKind::logical_volume, partition, logical.name, {}});
    const std::uint64_t begin = physical.begin() - disk_.begin();
    if (logical.reason != Reason::none) {
      add_kept(std::move(id), {begin, logical.size}, logical.reason, logical.kept_because);
      return;
    }
    filesystems::VolumeSource source(disk_.source(), physical.begin(), logical);
    const auto place = [&](const std::vector<io::ByteRange>& ranges) {
      return moved(ranges, logical, begin);
    };
    Volume volume{std::move(id), {begin, logical.size}, {}};
    look_through(source, std::move(volume), place, place);
  }

  // Looks into a logical volume, whose content `source` shows. `where` says where ranges of it lie
  // on this disk, `owned` where they lie as far as nothing else has the same bytes.
  template <class Where, class Owned>
  void look_through(io::Source& source, Volume volume, const Where& where, const Owned& owned) {
    DiskView view(disk_.ring(), source, disk_.stop());
    const auto first = where({{0, std::min(volume.range.length, std::uint64_t{512})}});
    if (!first.empty()) volume.range.offset = first.front().offset;
    volume.file_system = filesystems::probe(view, around(false));
    volume.free = owned(volume.file_system.free);
    sort(volume.free);
    volume.witnesses = where(volume.file_system.witnesses);
    keep_if_partitioned(view, volume);
    spend(volume);
    if (!look_inside(view, volume, where, owned)) result_.volumes.push_back(std::move(volume));
  }

  // A thin pool, and behind it the thin volumes in it.
  void look_into_pool(DiskView& physical, unsigned partition, const LogicalVolume& logical,
                      const std::vector<LogicalVolume>& volumes) {
    const filesystems::ThinPoolParts& parts = *logical.pool;
    const std::uint64_t begin = physical.begin() - disk_.begin();
    filesystems::VolumeSource metadata(disk_.source(), physical.begin(), parts.metadata);
    DiskView view(disk_.ring(), metadata, disk_.stop());
    std::optional<filesystems::ThinPool> pool;
    const std::uint64_t first = begin + parts.data.segments.front().stripes.front();
    Volume volume{own({VolumeKind::logical_volume, partition, logical.name, {}}),
                  {first, logical.size},
                  doubted([&] { return open_pool(view, parts, pool); }, logical)};
    volume.free = moved(volume.file_system.free, parts.data, begin);
    sort(volume.free);
    if (!volume.file_system.kept_whole()) {
      volume.witnesses = moved({{0, filesystems::lvm::thin_block_size}}, parts.metadata, begin);
    }
    spend(volume);
    const std::size_t at = result_.volumes.size();
    result_.volumes.push_back(std::move(volume));
    for (const LogicalVolume& one : volumes) {
      if (one.pool != logical.pool || !one.is_thin) continue;
      if (const FileSystem& found = result_.volumes[at].file_system; found.kept_whole()) {
        keep_thin(partition, begin, one, FileSystem(found));
      } else {
        look_into_thin(physical, partition, one, *pool);
      }
    }
  }

  static FileSystem open_pool(DiskView& metadata, const filesystems::ThinPoolParts& parts,
                              std::optional<filesystems::ThinPool>& pool) {
    FileSystem known;
    known.type = filesystems::thin_pool_type;
    known.size = parts.data.size;
    known.block_size = parts.chunk_size;
    return filesystems::mapped(std::move(known), filesystems::lvm::thin_repair,
                               [&](FileSystem& found) {
                                 pool.emplace(metadata, parts);
                                 found.free = pool->free();
                               });
  }

  // What cannot be read keeps the one volume.
  template <class Look>
  static FileSystem doubted(const Look& look, const LogicalVolume& logical) {
    try {
      return look();
    } catch (const io::Error& error) {
      if (error.kind() == io::ErrorKind::cancelled) throw;
      return filesystems::keep_whole("", logical.size, Reason::unreadable,
                                     fmt::format("could not be read: {}", error.what()));
    }
  }

  void keep_thin(unsigned partition, std::uint64_t begin, const LogicalVolume& logical,
                 const FileSystem& why) {
    add_kept(own({VolumeKind::logical_volume, partition, logical.name, {}}), {begin, logical.size},
             why.reason, why.kept_because);
    result_.volumes.back().file_system.remedy = why.remedy;
  }

  void look_into_thin(DiskView& physical, unsigned partition, const LogicalVolume& logical,
                      filesystems::ThinPool& pool) {
    const LogicalVolume& data = logical.pool->data;
    const std::uint64_t begin = physical.begin() - disk_.begin();
    std::optional<filesystems::ThinMap> map;
    const FileSystem found = doubted(
        [&] {
          return filesystems::mapped({}, filesystems::lvm::thin_repair, [&](FileSystem&) {
            map = pool.map_of(logical.device, logical.size, budget_.thin_blocks);
          });
        },
        logical);
    if (!map) {
      keep_thin(partition, begin, logical, found);
      return;
    }
    filesystems::VolumeSource pool_source(disk_.source(), physical.begin(), data);
    filesystems::ThinSource source(pool_source, *map, logical.size);
    const auto place = [&](const std::vector<io::ByteRange>& ranges, bool own_only) {
      std::vector<io::ByteRange> in_pool;
      for (const io::ByteRange& range : ranges) {
        for (const auto& piece : map->pieces_of(range, own_only)) in_pool.push_back(piece.range);
      }
      return moved(in_pool, data, begin);
    };
    Volume volume{
        own({VolumeKind::logical_volume, partition, logical.name, {}}), {begin, logical.size}, {}};
    volume.unmapped = logical.size - map->size();
    look_through(
        source, std::move(volume),
        [&](const std::vector<io::ByteRange>& ranges) { return place(ranges, false); },
        [&](const std::vector<io::ByteRange>& ranges) { return place(ranges, true); });
  }

  // What one volume holds can make the others' maps untrue.
  void keep_what_others_need() {
    bool hibernated = false;
    for (const Volume& volume : result_.volumes) {
      hashed_ = hashed_ || volume.file_system.holds_hashes;
      // One that sleeps in a disk inside of this one knows of that disk alone.
      hibernated = hibernated || (volume.file_system.type == filesystems::hibernated_type &&
                                  volume.id.within == within_);
    }
    for (Volume& volume : result_.volumes) {
      volume.hashed = hashed_;
      if (volume.file_system.kept_whole()) continue;
      if (hashed_) {
        volume.keep(Reason::hashed,
                    "the disk holds hashes over the blocks of its file systems, free ones too");
      } else if (hibernated && !options_.hibernated_never_resumes) {
        volume.keep(Reason::hibernated, "a hibernated system on this disk may have it mounted",
                    "start that system and shut it down");
      }
    }
  }

  DiskView& disk_;
  const FreeSpaceOptions& options_;
  std::vector<VolumeId> within_;
  Budget& budget_;
  bool hashed_ = false;
  FreeSpace result_;
};

// What is thrown away is as free as what no file has.
void call_free(FreeSpace& space) {
  for (const DiscardedFile& file : space.discarded) {
    for (Volume& volume : space.volumes) {
      if (volume.id != file.volume) continue;
      volume.free.insert(volume.free.end(), file.ranges.begin(), file.ranges.end());
      volume.free = merged(std::move(volume.free));
    }
    space.free.insert(space.free.end(), file.ranges.begin(), file.ranges.end());
  }
  space.free = merged(std::move(space.free));
}

}  // namespace

const Volume* FreeSpace::find(const VolumeId& id) const {
  const auto found = std::find_if(volumes.begin(), volumes.end(),
                                  [&](const Volume& volume) { return volume.id == id; });
  return found == volumes.end() ? nullptr : &*found;
}

FreeSpace find_free_space(DiskView& disk, const FreeSpaceOptions& options) {
  assert(disk.begin() == 0);
  Budget budget;
  FreeSpace space = Search(disk, options, {}, budget).run();
  if (options.discarded == DiscardedContent::kept || options.witnesses_only) return space;
  space.discarded = find_discarded(disk, space.volumes);
  if (options.discarded == DiscardedContent::free) call_free(space);
  return space;
}

}  // namespace formats
