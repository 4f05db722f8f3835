#include "formats/disks/filesystems/f2fs.hpp"

#include "formats/disks/filesystems/doubt.hpp"
#include "formats/disks/filesystems/f2fs/checkpoint.hpp"
#include "formats/disks/filesystems/f2fs/damage.hpp"
#include "formats/disks/filesystems/f2fs/segments.hpp"
#include "formats/disks/filesystems/f2fs/superblock.hpp"
#include "formats/disks/filesystems/f2fs/walk_files.hpp"
#include "formats/disks/filesystems/ranges.hpp"

namespace formats::filesystems {
namespace {

void map(DiskView& volume, MapCheck check, FileSystem& found) {
  const f2fs::Geometry geometry = f2fs::read_geometry(volume);
  found.block_size = f2fs::block_size;
  const f2fs::Checkpoint checkpoint = f2fs::read_checkpoint(volume, geometry);
  f2fs::Segments segments = f2fs::read_segments(volume, geometry, checkpoint);
  if (check == MapCheck::with_files) f2fs::walk_files(volume, geometry, checkpoint, segments);
  found.map_is_believed = check == MapCheck::believed;
  found.witnesses = checkpoint.witnesses;
  found.witnesses.push_back({0, 2 * std::uint64_t{f2fs::block_size}});  // the superblocks
  found.free = without(std::move(segments.free).take(), found.witnesses);
}

}  // namespace

std::optional<FileSystem> probe_f2fs(DiskView& volume, MapCheck check) {
  if (!volume.holds(f2fs::superblock_offset, f2fs::superblock_size)) return std::nullopt;
  const auto super = volume.read(f2fs::superblock_offset, f2fs::superblock_size);
  if (!f2fs::has_magic(super)) return std::nullopt;

  FileSystem known;
  known.type = "f2fs";
  known.label = f2fs::label_of(super);
  known.uuid = f2fs::uuid_of(super);
  known.size = f2fs::claimed_size(super);
  return mapped(std::move(known), f2fs::repair,
                [&](FileSystem& found) { map(volume, check, found); });
}

}  // namespace formats::filesystems
