#include "formats/disks/filesystems/ext/superblock.hpp"

#include <algorithm>
#include <bit>

#include <fmt/format.h>

#include "formats/bytes/checksum.hpp"
#include "formats/bytes/crc32c.hpp"
#include "formats/bytes/little_endian.hpp"
#include "formats/disks/filesystems/doubt.hpp"
#include "formats/disks/filesystems/uuid_text.hpp"

namespace formats::filesystems::ext {
namespace {

constexpr std::uint16_t state_valid = 1;
constexpr std::uint16_t state_error = 2;

constexpr std::uint32_t compat_journal = 0x4;
constexpr std::uint32_t compat_sparse_super2 = 0x200;

constexpr std::uint32_t incompat_compression = 0x1;
constexpr std::uint32_t incompat_recover = 0x4;
constexpr std::uint32_t incompat_journal_device = 0x8;
constexpr std::uint32_t incompat_meta_bg = 0x10;
constexpr std::uint32_t incompat_64bit = 0x80;
constexpr std::uint32_t incompat_mmp = 0x100;
constexpr std::uint32_t incompat_checksum_seed = 0x2000;
// Those above, and: file types, extents, flexible groups, attributes in inodes, data in directory
// entries, large directories, inline data, encryption, case folding.
constexpr std::uint32_t incompat_known = 0x2 | 0x4 | 0x10 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 |
                                         0x1000 | 0x2000 | 0x4000 | 0x8000 | 0x10000 | 0x20000;
constexpr std::uint32_t incompat_of_ext3 = 0x2 | 0x4 | 0x10;

constexpr std::uint32_t ro_compat_sparse_super = 0x1;
constexpr std::uint32_t ro_compat_huge_files = 0x8;
constexpr std::uint32_t ro_compat_group_checksums = 0x10;
constexpr std::uint32_t ro_compat_bigalloc = 0x200;
constexpr std::uint32_t ro_compat_metadata_checksums = 0x400;
// Those above, and: large files, B-tree directories, huge files, link counts, inode extensions,
// quota, read-only, project quota, verity, an orphan file. Not snapshots, replicas, shared blocks.
constexpr std::uint32_t ro_compat_known = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x20 | 0x40 | 0x100 |
                                          0x200 | 0x400 | 0x1000 | 0x2000 | 0x8000 | 0x10000;
constexpr std::uint32_t ro_compat_of_ext3 = 0x1 | 0x2 | 0x4;

constexpr std::uint32_t most_groups = 1U << 21;  // 256 TiB of 4 KiB blocks

struct Fields {
  std::span<const std::byte> bytes;

  [[nodiscard]] std::uint32_t u32(std::size_t at) const {
    return load_little_endian<std::uint32_t>(bytes, at);
  }
  [[nodiscard]] std::uint16_t u16(std::size_t at) const {
    return load_little_endian<std::uint16_t>(bytes, at);
  }
  [[nodiscard]] std::uint64_t u64(std::size_t low, std::size_t high) const {
    return u32(low) | (std::uint64_t{u32(high)} << 32);
  }
  // Revision 0 has no feature words.
  [[nodiscard]] bool dynamic() const { return u32(0x4C) != 0; }
  [[nodiscard]] std::uint32_t compat() const { return dynamic() ? u32(0x5C) : 0; }
  [[nodiscard]] std::uint32_t incompat() const { return dynamic() ? u32(0x60) : 0; }
  [[nodiscard]] std::uint32_t ro_compat() const { return dynamic() ? u32(0x64) : 0; }
};

[[noreturn]] void damaged(std::string_view what) {
  throw Doubt(Reason::damaged, fmt::format("its superblock is damaged: {}", what), run_fsck);
}

void check_checksum(const Fields& fields) {
  if ((fields.ro_compat() & ro_compat_metadata_checksums) == 0) return;
  if (std::to_integer<unsigned>(fields.bytes[0x175]) != 1) damaged("an unknown kind of checksum");
  if (!checksum_fits(fields.u32(0x3FC), crc32c_update(~0U, fields.bytes.first(0x3FC)))) {
    damaged("its checksum is wrong");
  }
}

void check_features(const Fields& fields) {
  if ((fields.incompat() & incompat_journal_device) != 0) {
    throw Doubt(Reason::unsupported, "is the journal of another file system");
  }
  if ((fields.incompat() & incompat_compression) != 0)
    throw Doubt(Reason::unsupported, "is compressed");
  if (fields.u32(0x4C) > 1)
    throw Doubt(Reason::unsupported, "is of a newer revision than imgtool knows");
  const std::uint32_t unknown_incompat = fields.incompat() & ~incompat_known;
  const std::uint32_t unknown_ro_compat = fields.ro_compat() & ~ro_compat_known;
  if (unknown_incompat != 0 || unknown_ro_compat != 0) {
    throw Doubt(Reason::unsupported,
                fmt::format("has features that imgtool does not know (incompat {:#x}, ro_compat "
                            "{:#x})",
                            unknown_incompat, unknown_ro_compat));
  }
  constexpr std::uint32_t both = ro_compat_group_checksums | ro_compat_metadata_checksums;
  if ((fields.ro_compat() & both) == both) damaged("two kinds of checksums at once");
}

void check_state(const Fields& fields) {
  const std::uint16_t state = fields.u16(0x3A);
  if ((state & state_error) != 0 || fields.u32(0x194) != 0) {
    throw Doubt(Reason::damaged, "its kernel found errors in it", run_fsck);
  }
  if ((state & state_valid) == 0) {
    throw Doubt(Reason::in_use, "was not unmounted, and has no journal to go by", run_fsck);
  }
  if (state != state_valid)
    throw Doubt(Reason::damaged, "a repair of it was interrupted", run_fsck);
}

void read_features(const Fields& fields, Superblock& super) {
  super.journal = (fields.compat() & compat_journal) != 0;
  super.needs_recovery = (fields.incompat() & incompat_recover) != 0;
  super.meta_bg = (fields.incompat() & incompat_meta_bg) != 0;
  super.sparse_super = (fields.ro_compat() & ro_compat_sparse_super) != 0;
  super.sparse_super2 = (fields.compat() & compat_sparse_super2) != 0;
  super.metadata_checksums = (fields.ro_compat() & ro_compat_metadata_checksums) != 0;
  super.group_checksums = (fields.ro_compat() & ro_compat_group_checksums) != 0;
  super.multiple_mount_protection = (fields.incompat() & incompat_mmp) != 0;
  super.huge_files = (fields.ro_compat() & ro_compat_huge_files) != 0;
}

bool has_wide_counts(const Fields& fields) { return (fields.incompat() & incompat_64bit) != 0; }

std::uint64_t count_of_blocks(const Fields& fields) {
  return has_wide_counts(fields) ? fields.u64(0x04, 0x150) : fields.u32(0x04);
}

void read_sizes(const Fields& fields, Superblock& super) {
  const bool wide = has_wide_counts(fields);
  const bool bigalloc = (fields.ro_compat() & ro_compat_bigalloc) != 0;
  const std::uint32_t block_bits = fields.u32(0x18);
  const std::uint32_t cluster_bits = fields.u32(0x1C);
  if (block_bits > 6) damaged("its block size");
  if (cluster_bits < block_bits || cluster_bits > block_bits + 16) damaged("its cluster size");
  if (!bigalloc && cluster_bits != block_bits) damaged("its cluster size");
  super.block_size = 1024U << block_bits;
  super.blocks_per_cluster = 1U << (cluster_bits - block_bits);
  super.blocks = count_of_blocks(fields);
  super.free_blocks = wide ? fields.u64(0x0C, 0x158) : fields.u32(0x0C);
  super.first_data_block = fields.u32(0x14);
  super.blocks_per_group = fields.u32(0x20);
  super.clusters_per_group = fields.u32(0x24);
  super.inodes = fields.u32(0x00);
  super.inodes_per_group = fields.u32(0x28);
  super.inode_size = fields.dynamic() ? fields.u16(0x58) : 128;
  super.descriptor_size = wide ? fields.u16(0xFE) : 32;
  super.reserved_gdt_blocks = fields.dynamic() ? fields.u16(0xCE) : 0;
  super.first_meta_bg = fields.u32(0x104);
  super.backup_groups = {fields.u32(0x24C), fields.u32(0x250)};
  if (super.first_data_block != (super.block_size == 1024 && !bigalloc ? 1U : 0U)) {
    damaged("its first block");
  }
}

void check_sizes(const Superblock& super) {
  const std::uint32_t bits = super.block_size * 8;  // in one block of a bitmap
  if (super.clusters_per_group == 0 || super.clusters_per_group > bits ||
      super.clusters_per_group % 8 != 0 ||
      std::uint64_t{super.clusters_per_group} * super.blocks_per_cluster !=
          super.blocks_per_group) {
    damaged("its blocks per group");
  }
  if (super.blocks <= super.first_data_block || super.blocks > UINT64_MAX / super.block_size) {
    damaged("its number of blocks");
  }
  if ((super.blocks - super.first_data_block) / super.blocks_per_group >= most_groups) {
    throw Doubt(Reason::unsupported, "has more groups than imgtool reads");
  }
  if (!std::has_single_bit(super.inode_size) || super.inode_size < 128 ||
      super.inode_size > super.block_size) {
    damaged("its inode size");
  }
  if (super.inodes_per_group == 0 || super.inodes_per_group > bits ||
      std::uint64_t{super.inodes_per_group} * super.groups() != super.inodes) {
    damaged("its number of inodes");
  }
  if (!std::has_single_bit(super.descriptor_size) || super.descriptor_size < 32 ||
      super.descriptor_size > std::min(super.block_size, 1024U)) {
    damaged("the size of its descriptors");
  }
  if (super.free_blocks > super.blocks) damaged("its number of free blocks");
  if (super.meta_bg && super.first_meta_bg > super.descriptor_blocks()) {
    damaged("its first meta block group");
  }
  if (super.reserved_gdt_blocks > super.block_size / 4) damaged("its reserved blocks");
}

void read_journal(const Fields& fields, Superblock& super) {
  if (super.needs_recovery && !super.journal) damaged("a journal is to be replayed, and has none");
  if (!super.journal) return;
  if (fields.u32(0xE4) != 0) {
    // A clean one too: whether that journal is empty cannot be seen from here.
    throw Doubt(Reason::unsupported, "has its journal on another device");
  }
  super.journal_inode = fields.u32(0xE0);
  if (super.journal_inode == 0 || super.journal_inode > super.inodes) damaged("its journal");
}

bool is_power_of(std::uint32_t number, std::uint32_t base) {
  while (number % base == 0) number /= base;
  return number == 1;
}

}  // namespace

std::uint32_t Superblock::groups() const {
  const std::uint64_t count = blocks - first_data_block;
  return static_cast<std::uint32_t>((count + blocks_per_group - 1) / blocks_per_group);
}

std::uint32_t Superblock::inode_table_blocks() const {
  const std::uint64_t bytes = std::uint64_t{inodes_per_group} * inode_size;
  return static_cast<std::uint32_t>((bytes + block_size - 1) / block_size);
}

std::uint32_t Superblock::descriptor_blocks() const {
  return (groups() + descriptors_per_block() - 1) / descriptors_per_block();
}

std::uint64_t Superblock::first_block(std::uint32_t group) const {
  return first_data_block + std::uint64_t{group} * blocks_per_group;
}

std::uint64_t Superblock::end_block(std::uint32_t group) const {
  return std::min(blocks, first_block(group) + blocks_per_group);
}

std::uint32_t Superblock::clusters(std::uint32_t group) const {
  const std::uint64_t count = end_block(group) - first_block(group);
  return static_cast<std::uint32_t>((count + blocks_per_cluster - 1) / blocks_per_cluster);
}

bool Superblock::has_superblock(std::uint32_t group) const {
  if (group == 0) return true;
  if (sparse_super2) return group == backup_groups[0] || group == backup_groups[1];
  if (group == 1 || !sparse_super) return true;
  return is_power_of(group, 3) || is_power_of(group, 5) || is_power_of(group, 7);
}

std::uint64_t Superblock::descriptor_block(std::uint32_t n) const {
  // The superblock lies at byte 1024, which is in block 1 where blocks are that small.
  const std::uint64_t superblock = superblock_offset / block_size;
  if (!meta_bg || n < first_meta_bg) return superblock + 1 + n;
  const std::uint32_t group = n * descriptors_per_block();
  const std::uint64_t first = std::max(first_block(group), group == 0 ? superblock : 0);
  return first + (has_superblock(group) ? 1 : 0);
}

std::uint64_t claimed_size(std::span<const std::byte> bytes) {
  const Fields fields{bytes};
  const std::uint32_t block_bits = fields.u32(0x18);
  const std::uint64_t blocks = count_of_blocks(fields);
  if (block_bits > 6 || blocks > UINT64_MAX >> (10 + block_bits)) return 0;
  return blocks << (10 + block_bits);
}

bool is_superblock(std::span<const std::byte> bytes) {
  return load_little_endian<std::uint16_t>(bytes, 0x38) == 0xEF53;
}

Name name_of(std::span<const std::byte> bytes) {
  const Fields fields{bytes};
  Name name;
  if ((fields.incompat() & incompat_journal_device) != 0) {
    name.type = "jbd";
  } else if ((fields.incompat() & ~incompat_of_ext3) != 0 ||
             (fields.ro_compat() & ~ro_compat_of_ext3) != 0) {
    name.type = "ext4";
  } else {
    name.type = (fields.compat() & compat_journal) != 0 ? "ext3" : "ext2";
  }
  name.uuid = uuid_text(bytes.subspan(0x68, 16));
  name.label = text_up_to_zero(bytes.subspan(0x78, 16));
  return name;
}

Superblock parse_superblock(std::span<const std::byte> bytes, StateCheck check) {
  const Fields fields{bytes};
  check_features(fields);
  check_checksum(fields);
  if (check == StateCheck::clean) check_state(fields);
  Superblock super;
  read_features(fields, super);
  read_sizes(fields, super);
  check_sizes(super);
  read_journal(fields, super);
  super.mmp_block = fields.u64(0x168, 0x16C);
  std::copy_n(bytes.begin() + 0x68, 16, super.uuid.begin());
  super.checksum_seed = (fields.incompat() & incompat_checksum_seed) != 0
                            ? fields.u32(0x270)
                            : crc32c_update(~0U, super.uuid);
  return super;
}

}  // namespace formats::filesystems::ext
