// The block groups of an ext file system: their descriptors, and where metadata lies.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "formats/disks/filesystems/ext/blocks.hpp"
#include "formats/disks/filesystems/ext/superblock.hpp"

namespace formats::filesystems::ext {

struct Group {
  std::uint64_t block_bitmap = 0;
  std::uint64_t inode_bitmap = 0;
  std::uint64_t inode_table = 0;
  std::uint32_t free_clusters = 0;
  std::uint32_t bitmap_checksum = 0;
  std::uint32_t unused_inodes = 0;  // at the end of its inode table: never used
  // Its bitmap was never written: all of it but the metadata is free.
  bool uninitialised = false;
};

// Throws Doubt; every checksum is verified.
[[nodiscard]] std::vector<Group> read_groups(Blocks& blocks, const Superblock& super);
// As they are on the disk before the journal is replayed: nothing but the places is looked at.
[[nodiscard]] std::vector<Group> read_groups_from_disk(Blocks& blocks, const Superblock& super);

// Throws Doubt when the bitmap is not what the group's checksum says.
void check_bitmap(const Superblock& super, const Group& group, std::uint32_t number,
                  std::span<const std::byte> bitmap);

// The blocks that hold metadata outside of files, ascending: superblocks, descriptors and the room
// they may grow into, bitmaps, inode tables. Throws Doubt when two of them overlap.
[[nodiscard]] std::vector<BlockRange> metadata_blocks(const Superblock& super,
                                                      const std::vector<Group>& groups);

}  // namespace formats::filesystems::ext
