#include "formats/disks/filesystems/ext/groups.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "formats/bytes/checksum.hpp"
#include "formats/bytes/crc32c.hpp"
#include "formats/bytes/little_endian.hpp"
#include "formats/disks/filesystems/doubt.hpp"

namespace formats::filesystems::ext {
namespace {

constexpr std::uint16_t flag_inode_uninit = 1;
constexpr std::uint16_t flag_block_uninit = 2;
constexpr std::size_t checksum_at = 0x1E;

std::uint16_t crc16(std::uint16_t state, std::span<const std::byte> bytes) {
  for (const std::byte byte : bytes) {
    state ^= std::to_integer<std::uint16_t>(byte);
    for (int bit = 0; bit < 8; ++bit) {
      state = static_cast<std::uint16_t>((state >> 1) ^ ((state & 1) != 0 ? 0xA001 : 0));
    }
  }
  return state;
}

std::uint16_t descriptor_checksum(const Superblock& super, std::uint32_t number,
                                  std::span<const std::byte> descriptor) {
  const auto front = descriptor.first(checksum_at);
  const auto back = descriptor.subspan(checksum_at + 2);
  if (super.metadata_checksums) {
    constexpr std::array<std::byte, 2> zeros{};
    std::uint32_t state = crc32c_update(super.checksum_seed, little_endian_bytes(number));
    state = crc32c_update(state, front);
    state = crc32c_update(state, zeros);
    return static_cast<std::uint16_t>(crc32c_update(state, back));
  }
  std::uint16_t state = crc16(0xFFFF, super.uuid);
  state = crc16(state, little_endian_bytes(number));
  state = crc16(state, front);
  return crc16(state, back);
}

Group parse_descriptor(const Superblock& super, std::span<const std::byte> bytes) {
  const auto u16 = [&](std::size_t at) { return load_little_endian<std::uint16_t>(bytes, at); };
  const auto u32 = [&](std::size_t at) { return load_little_endian<std::uint32_t>(bytes, at); };
  Group group;
  group.block_bitmap = u32(0);
  group.inode_bitmap = u32(4);
  group.inode_table = u32(8);
  group.free_clusters = u16(0xC);
  group.bitmap_checksum = u16(0x18);
  group.uninitialised = super.has_uninitialised_groups() && (u16(0x12) & flag_block_uninit) != 0;
  if (bytes.size() >= 64) {
    group.block_bitmap |= std::uint64_t{u32(0x20)} << 32;
    group.inode_bitmap |= std::uint64_t{u32(0x24)} << 32;
    group.inode_table |= std::uint64_t{u32(0x28)} << 32;
    group.free_clusters |= std::uint32_t{u16(0x2C)} << 16;
    group.bitmap_checksum |= std::uint32_t{u16(0x38)} << 16;
  }
  if (super.has_uninitialised_groups()) {
    const std::uint32_t high = bytes.size() >= 64 ? std::uint32_t{u16(0x32)} << 16 : 0;
    const bool none = (u16(0x12) & flag_inode_uninit) != 0;
    group.unused_inodes =
        none ? super.inodes_per_group : std::min(super.inodes_per_group, u16(0x1C) | high);
  }
  return group;
}

void check_descriptor(const Superblock& super, std::uint32_t number,
                      std::span<const std::byte> bytes, const Group& group) {
  if (super.has_uninitialised_groups() &&
      !checksum_fits(load_little_endian<std::uint16_t>(bytes, checksum_at),
                     descriptor_checksum(super, number, bytes))) {
    throw Doubt(Reason::damaged,
                fmt::format("the checksum of block group {}'s descriptor is wrong", number),
                run_fsck);
  }
  const auto inside = [&](std::uint64_t first, std::uint64_t count) {
    return first > super.first_data_block && count <= super.blocks && first <= super.blocks - count;
  };
  if (!inside(group.block_bitmap, 1) || !inside(group.inode_bitmap, 1) ||
      !inside(group.inode_table, super.inode_table_blocks())) {
    throw Doubt(Reason::damaged,
                fmt::format("block group {}'s metadata would lie outside of it", number), run_fsck);
  }
  if (group.free_clusters > super.clusters(number)) {
    throw Doubt(Reason::damaged,
                fmt::format("block group {} has more free blocks than blocks", number), run_fsck);
  }
}

// The blocks [from, ...) of descriptors that lie one behind the other, at most so many.
std::uint32_t adjacent(const Superblock& super, std::uint32_t from, std::uint32_t most) {
  std::uint32_t count = 1;
  while (count < most && from + count < super.descriptor_blocks() &&
         super.descriptor_block(from + count) == super.descriptor_block(from) + count) {
    ++count;
  }
  return count;
}

// Calls use(number, bytes) for each descriptor, and gets them by read(range).
template <class Read, class Use>
void for_each_descriptor(const Superblock& super, const Read& read, const Use& use) {
  const std::uint32_t groups = super.groups();
  const std::uint32_t most = std::max(1U, (1U << 20) / super.block_size);  // 1 MiB at once
  std::uint32_t number = 0;
  for (std::uint32_t n = 0; n < super.descriptor_blocks();) {
    const std::uint32_t count = adjacent(super, n, most);
    const auto bytes = read(BlockRange{super.descriptor_block(n), count});
    const std::span<const std::byte> all = bytes;
    for (std::size_t at = 0; at + super.descriptor_size <= all.size() && number < groups;
         at += super.descriptor_size) {
      use(number++, all.subspan(at, super.descriptor_size));
    }
    n += count;
  }
}

// The superblock and the descriptors in a group, and the blocks kept for more descriptors.
BlockRange copies_in(const Superblock& super, std::uint32_t number) {
  const std::uint64_t superblock = number == 0 ? superblock_offset / super.block_size : 0;
  const std::uint64_t first = std::max(super.first_block(number), superblock);
  const bool has_super = super.has_superblock(number);
  std::uint64_t count = has_super ? 1 : 0;
  const std::uint32_t per_block = super.descriptors_per_block();
  if (!super.meta_bg || number / per_block < super.first_meta_bg) {
    if (has_super) {
      count += super.meta_bg ? super.first_meta_bg : super.descriptor_blocks();
      count += super.reserved_gdt_blocks;
    }
  } else if (number % per_block <= 1 || number % per_block == per_block - 1) {
    ++count;
  }
  return {first, std::min(first + count, super.end_block(number)) - first};
}

}  // namespace

std::vector<Group> read_groups(Blocks& blocks, const Superblock& super) {
  std::vector<Group> groups;
  groups.reserve(super.groups());
  for_each_descriptor(
      super, [&](BlockRange range) { return blocks.read(range); },
      [&](std::uint32_t number, std::span<const std::byte> bytes) {
        groups.push_back(parse_descriptor(super, bytes));
        check_descriptor(super, number, bytes, groups.back());
      });
  return groups;
}

std::vector<Group> read_groups_from_disk(Blocks& blocks, const Superblock& super) {
  std::vector<Group> groups;
  groups.reserve(super.groups());
  for_each_descriptor(
      super, [&](BlockRange range) { return blocks.read_from_disk(range); },
      [&](std::uint32_t, std::span<const std::byte> bytes) {
        groups.push_back(parse_descriptor(super, bytes));
      });
  return groups;
}

void check_bitmap(const Superblock& super, const Group& group, std::uint32_t number,
                  std::span<const std::byte> bitmap) {
  if (!super.metadata_checksums) return;
  const std::uint32_t mask = super.descriptor_size >= 64 ? ~0U : 0xFFFFU;
  const std::uint32_t sum =
      crc32c_update(super.checksum_seed, bitmap.first(super.clusters_per_group / 8));
  if (!checksum_fits(group.bitmap_checksum, sum & mask)) {
    throw Doubt(Reason::damaged,
                fmt::format("the checksum of block group {}'s bitmap is wrong", number), run_fsck);
  }
}

std::vector<BlockRange> metadata_blocks(const Superblock& super, const std::vector<Group>& groups) {
  std::vector<BlockRange> used;
  used.reserve(groups.size() * 4);
  for (std::uint32_t number = 0; number < groups.size(); ++number) {
    const BlockRange copies = copies_in(super, number);
    if (copies.count > 0) used.push_back(copies);
    const Group& group = groups[number];
    used.push_back({group.block_bitmap, 1});
    used.push_back({group.inode_bitmap, 1});
    used.push_back({group.inode_table, super.inode_table_blocks()});
  }
  std::sort(used.begin(), used.end(),
            [](const BlockRange& a, const BlockRange& b) { return a.first < b.first; });
  for (std::size_t i = 1; i < used.size(); ++i) {
    if (used[i].first < used[i - 1].end()) {
      throw Doubt(Reason::damaged,
                  fmt::format("block {} holds two kinds of metadata", used[i].first), run_fsck);
    }
  }
  return used;
}

}  // namespace formats::filesystems::ext
