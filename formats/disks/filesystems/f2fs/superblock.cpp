#include "formats/disks/filesystems/f2fs/superblock.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "formats/bytes/checksum.hpp"
#include "formats/bytes/utf16.hpp"
#include "formats/disks/filesystems/doubt.hpp"
#include "formats/disks/filesystems/f2fs/damage.hpp"
#include "formats/disks/filesystems/f2fs/words.hpp"
#include "formats/disks/filesystems/uuid_text.hpp"

namespace formats::filesystems::f2fs {
namespace {

using Bytes = std::span<const std::byte>;

// Offsets in the superblock (struct f2fs_super_block), by the names of its fields.
enum SuperblockField : std::size_t {
  sb_major_ver = 4,
  sb_log_blocksize = 16,
  sb_log_blocks_per_seg = 20,
  sb_segs_per_sec = 24,
  sb_secs_per_zone = 28,
  sb_checksum_offset = 32,
  sb_block_count = 36,
  sb_section_count = 44,
  sb_segment_count = 48,
  sb_segment_count_ckpt = 52,
  sb_segment_count_sit = 56,
  sb_segment_count_nat = 60,
  sb_segment_count_ssa = 64,
  sb_segment_count_main = 68,
  sb_segment0_blkaddr = 72,
  sb_cp_blkaddr = 76,
  sb_sit_blkaddr = 80,
  sb_nat_blkaddr = 84,
  sb_ssa_blkaddr = 88,
  sb_main_blkaddr = 92,
  sb_node_ino = 100,
  sb_meta_ino = 104,
  sb_uuid = 108,
  sb_volume_name = 124,
  sb_cp_payload = 1664,
  sb_feature = 2180,
  sb_devices = 2201,
  sb_crc = 3068,
};
constexpr std::size_t name_bytes = 1024;

enum Feature : std::uint32_t {
  zoned = 0x2,
  inode_checksums = 0x20,
  flexible_attributes = 0x40,
  superblock_checksum = 0x800,
  read_only = 0x4000,
  // Encryption, atomic writes, extra attributes, project quotas, quota files, creation times,
  // lost+found, verity, case folding, compression: none of them changes what the maps say.
  known_features = 0x1 | 0x4 | 0x8 | 0x10 | inode_checksums | flexible_attributes | 0x80 | 0x100 |
                   0x200 | 0x400 | superblock_checksum | 0x1000 | 0x2000 | read_only,
};

constexpr Structure in_superblock{"its superblock"};

[[noreturn]] void unsupported(std::string what) {
  throw Doubt(Reason::unsupported, std::move(what));
}

void check_kind(Bytes super) {
  const std::uint32_t block_bits = u32(super, sb_log_blocksize);
  if (block_bits != 12) {
    in_superblock.check(block_bits > 12 && block_bits <= 16, "block size");
    unsupported(fmt::format("its blocks of {} KiB are not known here", (1U << block_bits) / 1024));
  }
  if (u16(super, sb_major_ver) != 1) {
    unsupported(fmt::format("its version {} is not known here", u16(super, sb_major_ver)));
  }
  const std::uint32_t features = u32(super, sb_feature);
  if ((features & zoned) != 0) unsupported("it is made for zones, of which the device knows");
  if ((features & ~known_features) != 0) {
    unsupported(fmt::format("it uses features that are not known here ({:#x})",
                            features & ~known_features));
  }
  if (u8(super, sb_devices) != 0) unsupported("it is on several devices");
}

void check_checksum(Bytes super) {
  if ((u32(super, sb_feature) & superblock_checksum) == 0) return;
  in_superblock.check(u32(super, sb_checksum_offset) == sb_crc, "place of its checksum");
  in_superblock.check(checksum_fits(u32(super, sb_crc), checksum(magic, super.first(sb_crc))),
                      "wrong checksum");
}

// Each area has to begin where the one before ends.
void read_areas(Bytes super, Geometry& geometry) {
  std::uint64_t next = u32(super, sb_segment0_blkaddr);
  in_superblock.check(next >= 2, "areas over the superblocks");
  const auto area = [&](SuperblockField begin, SuperblockField segments) {
    in_superblock.check(u32(super, begin) == next, "place of its areas");
    next += std::uint64_t{u32(super, segments)} * segment_blocks;
    return u32(super, begin);
  };
  geometry.checkpoints = area(sb_cp_blkaddr, sb_segment_count_ckpt);
  geometry.sit = area(sb_sit_blkaddr, sb_segment_count_sit);
  geometry.nat = area(sb_nat_blkaddr, sb_segment_count_nat);
  (void)area(sb_ssa_blkaddr, sb_segment_count_ssa);
  geometry.main = area(sb_main_blkaddr, sb_segment_count_main);
  geometry.blocks = u64(super, sb_block_count);
  in_superblock.check(next <= geometry.blocks, "areas behind its end");
  in_superblock.check(geometry.blocks <= std::uint64_t{1} << 32, "number of blocks");
}

void check_counts(Bytes super, const Geometry& geometry) {
  // Two packs of checkpoints, two sets of the tables; summaries only where it is written to.
  in_superblock.check(u32(super, sb_segment_count_ckpt) >= 2 && geometry.sit_blocks > 0 &&
                          geometry.nat_blocks > 0 && geometry.segments > 0,
                      "an area is empty");
  const std::uint64_t sections = u32(super, sb_section_count);
  const std::uint64_t per_section = u32(super, sb_segs_per_sec);
  in_superblock.check(per_section > 0 && u32(super, sb_secs_per_zone) > 0 &&
                          sections * per_section == geometry.segments,
                      "number of sections");
  in_superblock.check(geometry.segments <= u32(super, sb_segment_count), "number of segments");
  in_superblock.check(geometry.checkpoint_payload < segment_blocks - 8,
                      "length of its checkpoints");
  in_superblock.check(geometry.node_inode != geometry.meta_inode, "its own inodes");
}

Geometry parse(Bytes super) {
  in_superblock.check(has_magic(super), "a copy is missing");
  check_kind(super);
  check_checksum(super);
  in_superblock.check(u32(super, sb_log_blocks_per_seg) == 9, "size of the segments");
  Geometry geometry;
  read_areas(super, geometry);
  geometry.checkpoint_payload = u32(super, sb_cp_payload);
  // Half of an even number of segments is one set.
  geometry.sit_blocks = u32(super, sb_segment_count_sit) / 2 * segment_blocks;
  geometry.nat_blocks = u32(super, sb_segment_count_nat) / 2 * segment_blocks;
  geometry.segments = u32(super, sb_segment_count_main);
  geometry.node_inode = u32(super, sb_node_ino);
  geometry.meta_inode = u32(super, sb_meta_ino);
  const std::uint32_t features = u32(super, sb_feature);
  geometry.is_read_only = (features & read_only) != 0;
  geometry.has_inode_checksums = (features & inode_checksums) != 0;
  geometry.has_flexible_attributes = (features & flexible_attributes) != 0;
  std::copy_n(super.begin() + sb_uuid, geometry.uuid.size(), geometry.uuid.begin());
  check_counts(super, geometry);
  return geometry;
}

}  // namespace

bool has_magic(Bytes super) { return u32(super, 0) == magic; }

std::string label_of(Bytes super) {
  return utf8_from_utf16(super.subspan(sb_volume_name, name_bytes));
}

std::string uuid_of(Bytes super) { return uuid_text(super.subspan(sb_uuid, 16)); }

std::uint64_t claimed_size(Bytes super) {
  const std::uint32_t block_bits = u32(super, sb_log_blocksize);
  const std::uint64_t blocks = u64(super, sb_block_count);
  return block_bits <= 16 && blocks <= std::uint64_t{1} << 32 ? blocks << block_bits : 0;
}

Geometry read_geometry(DiskView& volume) {
  const Geometry geometry = parse(volume.read(superblock_offset, superblock_size));
  in_superblock.check(
      geometry == parse(volume.read(block_size + superblock_offset, superblock_size)),
      "its copies differ");
  if (geometry.size() > volume.size()) {
    throw Doubt(Reason::cut_off,
                "it is longer than its volume: it was cut off, or is a part of a RAID",
                "take the image from the assembled RAID, or from the whole disk");
  }
  return geometry;
}

}  // namespace formats::filesystems::f2fs
