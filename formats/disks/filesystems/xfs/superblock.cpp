#include "formats/disks/filesystems/xfs/superblock.hpp"

#include <bit>

#include <fmt/format.h>

#include "formats/bytes/checksum.hpp"
#include "formats/bytes/crc32c.hpp"
#include "formats/bytes/little_endian.hpp"
#include "formats/disks/filesystems/doubt.hpp"
#include "formats/disks/filesystems/xfs/words.hpp"

namespace formats::filesystems::xfs {
namespace {

using Bytes = std::span<const std::byte>;

// Offsets in the superblock (struct xfs_dsb), by the names of its fields.
enum Field : std::size_t {
  sb_blocksize = 4,
  sb_dblocks = 8,
  sb_rblocks = 16,
  sb_rextents = 24,
  sb_uuid = 32,
  sb_logstart = 48,
  sb_rootino = 56,
  sb_agblocks = 84,
  sb_agcount = 88,
  sb_logblocks = 96,
  sb_versionnum = 100,
  sb_sectsize = 102,
  sb_inodesize = 104,
  sb_fname = 108,
  sb_blocklog = 120,
  sb_sectlog = 121,
  sb_inodelog = 122,
  sb_inopblog = 123,
  sb_agblklog = 124,
  sb_inprogress = 126,
  sb_fdblocks = 144,
  sb_dirblklog = 192,
  sb_features2 = 200,
  sb_bad_features2 = 204,  // where some kernels put features2 by mistake
  sb_features_ro_compat = 212,
  sb_features_incompat = 216,
  sb_features_log_incompat = 220,
  sb_crc = 224,
  sb_meta_uuid = 248,
};

enum Version : std::uint16_t {
  version_mask = 0xf,
  version_shared = 0x200,
  version_log_v2 = 0x400,
  version_directory_v2 = 0x2000,
};

enum Features2 : std::uint32_t {
  lazy_counts = 0x2,
  file_types_v4 = 0x200,
  // Those with a meaning: lazy counts, attr2, 32-bit project ids, checksums, file types.
  known_features2 = 0x2 | 0x8 | 0x80 | 0x100 | 0x200,
};

enum ReadOnlyCompatible : std::uint32_t {
  rmapbt = 0x2,
  reflink = 0x4,
  known_ro_compat = 0x1 | rmapbt | reflink | 0x8,  // finobt, inode btree counters
};

enum Incompatible : std::uint32_t {
  file_types = 0x1,
  sparse_inodes = 0x2,
  separate_metadata_uuid = 0x4,
  needs_repair = 0x10,
  // File types, sparse inodes, big timestamps, large extent counters, exchange of ranges, parent
  // pointers: none of them changes what the free space trees say.
  known_incompat = file_types | sparse_inodes | separate_metadata_uuid | 0x8 | 0x20 | 0x40 | 0x80,
};

constexpr std::uint32_t smallest_ag = 64;  // blocks
constexpr std::uint64_t largest_ag = std::uint64_t{1} << 40;
constexpr std::uint64_t largest_log = std::uint64_t{1} << 31;

[[noreturn]] void damaged(std::string_view what) {
  throw Doubt(Reason::damaged, fmt::format("its superblock is damaged: {}", what),
              std::string(repair));
}

void check(bool holds, std::string_view what) {
  if (!holds) damaged(what);
}

[[noreturn]] void unknown(std::string_view word, std::uint32_t bits) {
  throw Doubt(Reason::unsupported,
              fmt::format("it uses features that are not known here ({} {:#x})", word, bits));
}

bool is_size(std::uint64_t size, unsigned log, std::uint64_t least, std::uint64_t most) {
  return size >= least && size <= most && std::has_single_bit(size) &&
         static_cast<unsigned>(std::countr_zero(size)) == log;
}

Uuid uuid_at(Bytes sector, std::size_t offset) {
  Uuid uuid;
  std::copy_n(sector.begin() + static_cast<std::ptrdiff_t>(offset), uuid.size(), uuid.begin());
  return uuid;
}

void check_features_v4(Bytes sector) {
  const std::uint16_t version = u16(sector, sb_versionnum);
  const std::uint32_t features2 = u32(sector, sb_features2) | u32(sector, sb_bad_features2);
  if ((features2 & ~known_features2) != 0) unknown("features2", features2 & ~known_features2);
  if ((version & version_shared) != 0) unknown("version", version_shared);
  check((version & version_directory_v2) != 0, "it has directories of version 1");
}

void check_features_v5(Bytes sector) {
  const std::uint32_t incompat = u32(sector, sb_features_incompat);
  if ((incompat & needs_repair) != 0) {
    throw Doubt(Reason::damaged, "it is marked as in need of repair", std::string(repair));
  }
  if ((incompat & ~known_incompat) != 0) unknown("incompat", incompat & ~known_incompat);
  const std::uint32_t ro_compat = u32(sector, sb_features_ro_compat);
  if ((ro_compat & ~known_ro_compat) != 0) unknown("ro_compat", ro_compat & ~known_ro_compat);
  const std::uint32_t log_incompat = u32(sector, sb_features_log_incompat);
  if (log_incompat != 0) unknown("log_incompat", log_incompat);
}

void check_features(Bytes sector, bool is_v5) {
  check_features_v4(sector);  // version 5 keeps these words up to date
  if (is_v5) check_features_v5(sector);
  if (u8(sector, sb_inprogress) != 0) {
    throw Doubt(Reason::damaged, "mkfs.xfs or xfs_copy did not finish it", "make it anew");
  }
  if (u64(sector, sb_rblocks) != 0 || u64(sector, sb_rextents) != 0) {
    throw Doubt(Reason::unsupported, "it has a realtime section on another device");
  }
  if (u64(sector, sb_logstart) == 0) {
    throw Doubt(Reason::unsupported,
                "its log is on another device, so that it cannot be told here whether it is clean");
  }
}

void read_sizes(Bytes sector, Geometry& geometry, std::uint64_t volume) {
  geometry.block_size = u32(sector, sb_blocksize);
  geometry.blocks = u64(sector, sb_dblocks);
  geometry.ag_blocks = u32(sector, sb_agblocks);
  geometry.ag_count = u32(sector, sb_agcount);
  const unsigned ag_block_log = u8(sector, sb_agblklog);
  check(is_size(geometry.block_size, u8(sector, sb_blocklog), 512, 65536), "block size");
  check(geometry.sector_size <= geometry.block_size, "sectors larger than blocks");
  check(geometry.ag_blocks >= smallest_ag &&
            std::uint64_t{geometry.ag_blocks} * geometry.block_size <= largest_ag,
        "size of the allocation groups");
  check(static_cast<unsigned>(std::bit_width(geometry.ag_blocks - 1)) == ag_block_log,
        "size of the allocation groups");
  check(geometry.ag_count > 0, "no allocation groups");
  const std::uint64_t before_last = geometry.first_block(geometry.ag_count - 1);
  check(geometry.blocks > before_last && geometry.blocks - before_last <= geometry.ag_blocks &&
            geometry.blocks - before_last >= smallest_ag,
        "number of blocks");
  if (geometry.blocks > volume / geometry.block_size) {
    throw Doubt(Reason::cut_off,
                "it is longer than its volume: it was cut off, or is a part of a RAID",
                "take the image from the assembled RAID, or from the whole disk");
  }
}

// The block that a number with the AG in its upper bits stands for, counted from the first.
std::uint64_t plain_block(const Geometry& geometry, std::uint64_t number, unsigned ag_block_log,
                          std::uint64_t length, std::string_view what) {
  const std::uint64_t ag = number >> ag_block_log;
  const std::uint64_t block = number & ((std::uint64_t{1} << ag_block_log) - 1);
  check(ag < geometry.ag_count, what);
  const std::uint64_t ag_length = geometry.length(static_cast<std::uint32_t>(ag));
  check(block > 0 && block < ag_length && length <= ag_length - block, what);
  return geometry.first_block(static_cast<std::uint32_t>(ag)) + block;
}

void read_places(Bytes sector, Geometry& geometry) {
  const unsigned ag_block_log = u8(sector, sb_agblklog);
  geometry.log_blocks = u32(sector, sb_logblocks);
  check(geometry.log_blocks > 0 &&
            std::uint64_t{geometry.log_blocks} * geometry.block_size <= largest_log,
        "length of the log");
  geometry.log_block = plain_block(geometry, u64(sector, sb_logstart), ag_block_log,
                                   geometry.log_blocks, "place of the log");

  const std::uint16_t inode_size = u16(sector, sb_inodesize);
  const unsigned inodes_per_block_log = u8(sector, sb_inopblog);
  check(is_size(inode_size, u8(sector, sb_inodelog), 256, geometry.block_size) &&
            std::uint64_t{inode_size} << std::min(inodes_per_block_log, 16u) == geometry.block_size,
        "inode size");
  geometry.inode_size = inode_size;
  geometry.ag_block_bits = ag_block_log;
  geometry.root_inode = u64(sector, sb_rootino);
  geometry.root_block = plain_block(geometry, geometry.root_inode >> inodes_per_block_log,
                                    ag_block_log, 1, "place of the root directory");
}

// All of the superblock's sector.
std::vector<std::byte> read_sector(DiskView& volume) {
  const std::vector<std::byte> start = volume.read(0, 512);
  const std::uint32_t sector_size = u16(start, sb_sectsize);
  check(is_size(sector_size, u8(start, sb_sectlog), 512, 32768), "sector size");
  return volume.read(0, sector_size);
}

}  // namespace

bool has_magic(Bytes sector) { return u32(sector, 0) == 0x58465342; }

std::string label_of(Bytes sector) {
  std::string label;
  for (const std::byte byte : sector.subspan(sb_fname, 12)) {
    if (byte == std::byte{0}) break;
    label += static_cast<char>(byte);
  }
  while (label.ends_with(' ')) label.pop_back();
  return label;
}

std::uint64_t claimed_size(Bytes sector) {
  return u64(sector, sb_dblocks) * u32(sector, sb_blocksize);
}

Geometry read_geometry(DiskView& volume) {
  const std::vector<std::byte> sector = read_sector(volume);
  const std::uint16_t version = u16(sector, sb_versionnum);
  Geometry geometry;
  geometry.is_v5 = (version & version_mask) == 5;
  if (!geometry.is_v5 && (version & version_mask) != 4) {
    throw Doubt(Reason::unsupported,
                fmt::format("its version {} is not known here", version & version_mask));
  }
  check(!geometry.is_v5 || has_right_checksum(sector, sb_crc), "wrong checksum");
  check_features(sector, geometry.is_v5);

  geometry.sector_size = static_cast<std::uint32_t>(sector.size());
  geometry.uuid = uuid_at(sector, sb_uuid);
  geometry.metadata_uuid = geometry.uuid;
  geometry.has_log_v2 = (version & version_log_v2) != 0;
  geometry.free_blocks = u64(sector, sb_fdblocks);
  geometry.counts_lazily = geometry.is_v5 || (u32(sector, sb_features2) & lazy_counts) != 0;
  if (geometry.is_v5) {
    const std::uint32_t ro_compat = u32(sector, sb_features_ro_compat);
    geometry.has_rmapbt = (ro_compat & rmapbt) != 0;
    geometry.has_refcountbt = (ro_compat & reflink) != 0;
    const std::uint32_t incompat = u32(sector, sb_features_incompat);
    geometry.has_sparse_inodes = (incompat & sparse_inodes) != 0;
    if ((incompat & separate_metadata_uuid) != 0) {
      geometry.metadata_uuid = uuid_at(sector, sb_meta_uuid);
    }
  }
  geometry.has_file_types = geometry.is_v5 ? (u32(sector, sb_features_incompat) & file_types) != 0
                                           : (u32(sector, sb_features2) & file_types_v4) != 0;
  read_sizes(sector, geometry, volume.size());
  const unsigned directory_log = u8(sector, sb_dirblklog);
  check(directory_log <= 16 && std::uint64_t{geometry.block_size} << directory_log <= 65536,
        "size of the directories' blocks");
  geometry.directory_block_size = geometry.block_size << directory_log;
  read_places(sector, geometry);
  return geometry;
}

bool has_right_checksum(Bytes block, std::size_t field) {
  return checksum_fits(load_little_endian<std::uint32_t>(block, field),
                       ~crc32c_update_without(~std::uint32_t{0}, block, field));
}

bool equals(Bytes bytes, const Uuid& uuid) {
  return std::equal(bytes.begin(), bytes.end(), uuid.begin(), uuid.end());
}

}  // namespace formats::filesystems::xfs
