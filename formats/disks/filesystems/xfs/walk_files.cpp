#include "formats/disks/filesystems/xfs/walk_files.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "formats/disks/filesystems/doubt.hpp"
#include "formats/disks/filesystems/xfs/ag_tree.hpp"
#include "formats/disks/filesystems/xfs/inode.hpp"
#include "formats/disks/filesystems/xfs/words.hpp"

namespace formats::filesystems::xfs {
namespace {

using Bytes = std::span<const std::byte>;

// Offsets in the header of an AG's inodes (struct xfs_agi), by the names of its fields.
enum AgiField : std::size_t {
  agi_magicnum = 0,
  agi_versionnum = 4,
  agi_seqno = 8,
  agi_length = 12,
  agi_count = 16,
  agi_root = 20,
  agi_level = 24,
  agi_uuid = 296,
  agi_crc = 312,
};

// Offsets in a record of the tree of inodes (struct xfs_inobt_rec).
enum InobtRecord : std::size_t {
  ir_startino = 0,
  ir_holemask = 4,  // with sparse inodes; else a wider count begins here
  ir_free = 8,
};

constexpr std::uint32_t inodes_per_chunk = 64;
constexpr std::uint32_t inodes_per_hole = 4;  // a bit of the mask of holes

class FileWalk {
 public:
  FileWalk(DiskView& volume, const Geometry& geometry, const FreeClusters& free)
      : volume_(volume), geometry_(geometry), free_(free) {}

  void group(std::uint32_t ag) {
    const auto agi = volume_.read(
        geometry_.first_block(ag) * geometry_.block_size + 2 * std::uint64_t{geometry_.sector_size},
        geometry_.sector_size);
    check_agi(agi, ag);
    AgTree tree(volume_, geometry_, ag, inobt);
    std::uint64_t next = 0;
    std::uint64_t inodes = 0;
    tree.walk(u32(agi, agi_root), u32(agi, agi_level), [&](Bytes record) {
      const std::uint32_t first = u32(record, ir_startino);
      tree.check(first >= next, "order of the inodes");
      next = std::uint64_t{first} + inodes_per_chunk;
      inodes += chunk(ag, record, tree);
    });
    tree.check(inodes == u32(agi, agi_count), "number of inodes");
    for (const std::uint32_t block : tree.blocks()) {
      tree.check(!free_.have_any_of(geometry_.first_block(ag) + block, 1), "it is free");
    }
  }

 private:
  void check_agi(Bytes agi, std::uint32_t ag) const {
    if (u32(agi, agi_magicnum) == 0x58414749 && u32(agi, agi_versionnum) == 1 &&
        u32(agi, agi_seqno) == ag && u32(agi, agi_length) == geometry_.length(ag) &&
        (!geometry_.is_v5 || (has_right_checksum(agi, agi_crc) &&
                              equals(agi.subspan(agi_uuid, 16), geometry_.metadata_uuid)))) {
      return;
    }
    throw Doubt(Reason::damaged,
                fmt::format("the header of the inodes of its allocation group {} is damaged", ag),
                std::string(repair));
  }

  // Gives how many inodes there are in it: without its holes, which may hold anything.
  std::uint32_t chunk(std::uint32_t ag, Bytes record, const AgTree& tree) {
    const std::uint32_t first = u32(record, ir_startino);
    const unsigned holes = geometry_.has_sparse_inodes ? u16(record, ir_holemask) : 0;
    const std::uint64_t free = u64(record, ir_free);
    std::uint32_t count = 0;
    for (std::uint32_t from = 0; from < inodes_per_chunk;) {
      std::uint32_t to = from;
      while (to < inodes_per_chunk && (holes >> (to / inodes_per_hole) & 1) == 0) {
        to += inodes_per_hole;
      }
      if (to > from) inodes(ag, first + std::uint64_t{from}, to - from, free >> from, tree);
      count += to - from;
      from = to + inodes_per_hole;
    }
    return count;
  }

  // `count` of them in a row; a bit of `free` for each.
  void inodes(std::uint32_t ag, std::uint64_t first, std::uint32_t count, std::uint64_t free,
              const AgTree& tree) {
    const std::uint32_t size = geometry_.inode_size;
    const std::uint32_t per_block = geometry_.block_size / size;
    const std::uint64_t begin = first / per_block;
    const std::uint64_t end = (first + count + per_block - 1) / per_block;
    tree.check(begin > 0 && end <= geometry_.length(ag), "inodes outside of the group");
    tree.check(!free_.have_any_of(geometry_.first_block(ag) + begin, end - begin),
               "inodes in free blocks");
    const auto table = volume_.read(geometry_.first_block(ag) * geometry_.block_size + first * size,
                                    std::size_t{count} * size);
    for (std::uint32_t i = 0; i < count; ++i) {
      const Bytes bytes = Bytes(table).subspan(std::size_t{i} * size, size);
      const bool is_used = (free >> i & 1) == 0;
      tree.check(is_used == is_in_use(bytes), "an inode is used and free at once");
      if (is_used) inode(bytes, number_of(ag, first + i));
    }
  }

  [[nodiscard]] std::uint64_t number_of(std::uint32_t ag, std::uint64_t in_group) const {
    const std::uint64_t per_group = (std::uint64_t{1} << geometry_.ag_block_bits) *
                                    (geometry_.block_size / geometry_.inode_size);
    return ag * per_group + in_group;
  }

  void inode(Bytes bytes, std::uint64_t number) {
    number_ = number;
    const Inode inode = parse_inode(bytes, number, geometry_);
    fork(inode.data);
    if (inode.attributes) fork(*inode.attributes);
  }

  void fork(const Fork& fork) {
    if (fork.format == ForkFormat::extents) {
      extents(fork.bytes, fork.extents);
    } else if (fork.format == ForkFormat::btree) {
      root(fork.bytes);
    }
  }

  [[noreturn]] void damaged() const {
    throw Doubt(Reason::damaged, fmt::format("the map of inode {} is damaged", number_),
                std::string(repair));
  }
  void check(bool holds) const {
    if (!holds) damaged();
  }

  // Gives the first block, counted from the file system's first, of `count` from `number` on.
  std::uint64_t use(std::uint64_t number, std::uint64_t count) const {
    const std::uint64_t ag = number >> geometry_.ag_block_bits;
    const std::uint64_t in_group = number & ((std::uint64_t{1} << geometry_.ag_block_bits) - 1);
    check(ag < geometry_.ag_count);
    const std::uint64_t length = geometry_.length(static_cast<std::uint32_t>(ag));
    check(in_group > 0 && in_group < length && count > 0 && count <= length - in_group);
    const std::uint64_t first = geometry_.first_block(static_cast<std::uint32_t>(ag)) + in_group;
    if (!free_.have_any_of(first, count)) return first;
    throw Doubt(Reason::damaged,
                fmt::format("inode {} uses blocks that the free space trees call free", number_),
                std::string(repair));
  }

  // 128 bits each: a flag, 54 bits of the place in the file, 52 of the block, 21 of the count.
  void extents(Bytes records, std::uint64_t count) const {
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::uint64_t high = u64(records, 16 * i);
      const std::uint64_t low = u64(records, 16 * i + 8);
      (void)use((high & 0x1ff) << 43 | low >> 21, low & 0x1fffff);
    }
  }

  // The root of a map that is a tree lies in the inode.
  void root(Bytes fork) {
    constexpr std::size_t header_size = 4;
    check(fork.size() >= header_size);
    const std::size_t most = (fork.size() - header_size) / 16;
    const unsigned level = u16(fork, 0);
    const std::size_t count = u16(fork, 2);
    check(level > 0 && level <= 9 && count > 0 && count <= most);
    for (std::size_t i = 0; i < count; ++i) {
      node(u64(fork, header_size + 8 * (most + i)), level - 1);
    }
  }

  // Never more blocks of maps than the file system has: two files may name the same.
  void node(std::uint64_t number, unsigned level) {
    const std::uint64_t place = use(number, 1);
    check(++map_blocks_ <= geometry_.blocks);
    const auto block = volume_.read(place * geometry_.block_size, geometry_.block_size);
    check(u32(block, 0) == (geometry_.is_v5 ? 0x424d4133 : 0x424d4150));  // "BMA3", "BMAP"
    if (geometry_.is_v5) check_identity(block, place);
    const std::size_t header_size = geometry_.is_v5 ? 72 : 24;
    const std::size_t most = (block.size() - header_size) / 16;
    const std::size_t count = u16(block, 6);
    check(u16(block, 4) == level && count > 0 && count <= most);
    if (level == 0) return extents(Bytes(block).subspan(header_size), count);
    for (std::size_t i = 0; i < count; ++i) {
      node(u64(block, header_size + 8 * (most + i)), level - 1);
    }
  }

  void check_identity(Bytes block, std::uint64_t place) const {
    check(has_right_checksum(block, 64));
    check(u64(block, 24) == place * (geometry_.block_size / 512));
    check(equals(block.subspan(40, 16), geometry_.metadata_uuid));
    check(u64(block, 56) == number_);
  }

  DiskView& volume_;
  const Geometry& geometry_;
  const FreeClusters& free_;
  std::uint64_t number_ = 0;
  std::uint64_t map_blocks_ = 0;
};

}  // namespace

void walk_files(DiskView& volume, const Geometry& geometry, const FreeClusters& free) {
  FileWalk walk(volume, geometry, free);
  for (std::uint32_t ag = 0; ag < geometry.ag_count; ++ag) walk.group(ag);
}

}  // namespace formats::filesystems::xfs
