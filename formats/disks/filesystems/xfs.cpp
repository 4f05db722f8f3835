#include "formats/disks/filesystems/xfs.hpp"

#include "formats/disks/filesystems/doubt.hpp"
#include "formats/disks/filesystems/ranges.hpp"
#include "formats/disks/filesystems/uuid_text.hpp"
#include "formats/disks/filesystems/xfs/free_space.hpp"
#include "formats/disks/filesystems/xfs/log.hpp"
#include "formats/disks/filesystems/xfs/log_replay.hpp"
#include "formats/disks/filesystems/xfs/superblock.hpp"
#include "formats/disks/filesystems/xfs/walk_files.hpp"

namespace formats::filesystems {
namespace {

// The superblock counts what is free in all AGs. Without lazy counting, blocks of the trees may
// or may not be among them.
void check_total(const xfs::Geometry& geometry, const xfs::FreeSpace& space) {
  const std::uint64_t least = space.blocks.count() + space.agf_flcount;
  const bool fits = geometry.free_blocks == least + space.agf_btreeblks ||
                    (!geometry.counts_lazily && geometry.free_blocks == least);
  if (!fits) {
    throw Doubt(Reason::damaged,
                "its superblock counts other free blocks than its free space trees have",
                std::string(xfs::repair));
  }
}

void check_used(const xfs::Geometry& geometry, const xfs::FreeSpace& space) {
  if (space.blocks.have_any_of(geometry.log_block, geometry.log_blocks) ||
      space.blocks.have_any_of(geometry.root_block, 1)) {
    throw Doubt(Reason::damaged, "its free space trees call its log or root directory free",
                std::string(xfs::repair));
  }
}

// `counted`: the superblock's count of free blocks is up to date.
void map_free(DiskView& volume, const xfs::Geometry& geometry, bool counted, MapCheck check,
              FileSystem& found) {
  xfs::FreeSpace space = xfs::read_free_space(volume, geometry);
  if (counted) check_total(geometry, space);
  check_used(geometry, space);
  if (check == MapCheck::with_files) xfs::walk_files(volume, geometry, space.blocks);
  found.map_is_believed = check == MapCheck::believed;
  found.free = std::move(space.blocks).take();
}

// What the replay reads or writes stays, free or not.
void map_after_replay(DiskView& volume, const xfs::Geometry& geometry, const xfs::LogState& log,
                      MapCheck check, FileSystem& found) {
  xfs::LogRing ring(volume, geometry);
  xfs::ReplayedVolume replayed(volume);
  xfs::replay_log(ring, log.end, *log.replay_from, geometry, replayed);
  DiskView after =
      DiskView(volume.ring(), replayed, volume.stop()).part({volume.begin(), volume.size()});
  xfs::Geometry geometry_after = xfs::read_geometry(after);
  geometry_after.free_blocks = geometry.free_blocks;
  if (geometry_after != geometry) xfs::cannot_replay("was being resized or changed");
  map_free(after, geometry, false, check, found);
  found.free = without(std::move(found.free), replayed.touched());
  found.waits_for_replay = true;
}

void map(DiskView& volume, MapCheck check, FileSystem& found) {
  const xfs::Geometry geometry = xfs::read_geometry(volume);
  found.size = geometry.size();
  found.block_size = geometry.block_size;
  const xfs::LogState log = xfs::read_log(volume, geometry);
  found.witnesses = log.witnesses;
  found.witnesses.push_back({0, geometry.sector_size});
  if (check == MapCheck::witnesses_only) return;
  if (log.replay_from) {
    map_after_replay(volume, geometry, log, check, found);
  } else {
    map_free(volume, geometry, !log.is_frozen, check, found);
  }
}

}  // namespace

std::optional<FileSystem> probe_xfs(DiskView& volume, MapCheck check) {
  constexpr std::size_t smallest_sector = 512;
  if (!volume.holds(0, smallest_sector)) return std::nullopt;
  const std::vector<std::byte> sector = volume.read(0, smallest_sector);
  if (!xfs::has_magic(sector)) return std::nullopt;

  FileSystem known;
  known.type = "xfs";
  known.label = xfs::label_of(sector);
  known.uuid = uuid_text(std::span(sector).subspan(32, 16));
  known.size = xfs::claimed_size(sector);
  return mapped(std::move(known), xfs::repair,
                [&](FileSystem& found) { map(volume, check, found); });
}

}  // namespace formats::filesystems
