#include "formats/disks/filesystems/btrfs.hpp"

#include "formats/disks/filesystems/btrfs/extent_map.hpp"
#include "formats/disks/filesystems/btrfs/superblock.hpp"
#include "formats/disks/filesystems/doubt.hpp"
#include "formats/disks/filesystems/uuid_text.hpp"

namespace formats::filesystems {
namespace {

void map(DiskView& volume, std::span<const std::byte> bytes, MapCheck check, FileSystem& found) {
  const btrfs::Superblock super = btrfs::parse_superblock(bytes, volume.size());
  found.block_size = super.sector_size;
  found.witnesses = {{btrfs::superblock_offset, btrfs::superblock_size}};  // has the generation
  if (check == MapCheck::witnesses_only) return;
  found.free = btrfs::find_free(volume, super, check);
  found.waits_for_replay = super.log_tree.has_value();
  found.knows_only_part = super.devices > 1;
  found.map_is_believed = check == MapCheck::believed;
}

}  // namespace

std::optional<FileSystem> probe_btrfs(DiskView& volume, MapCheck check) {
  if (!volume.holds(btrfs::superblock_offset, btrfs::superblock_size)) return std::nullopt;
  const std::vector<std::byte> bytes =
      volume.read(btrfs::superblock_offset, btrfs::superblock_size);
  if (!btrfs::has_magic(bytes)) return std::nullopt;

  FileSystem known;
  known.type = "btrfs";
  known.label = btrfs::label_of(bytes);
  known.uuid = uuid_text(std::span(bytes).subspan(32, 16));
  known.size = btrfs::claimed_size(bytes);
  return mapped(std::move(known), btrfs::repair,
                [&](FileSystem& found) { map(volume, bytes, check, found); });
}

}  // namespace formats::filesystems
