// Where the blocks of a file lie, by extents or by indirect blocks: for the journal, which is one.
#pragma once

#include <cstdint>
#include <vector>

#include "formats/disks/filesystems/ext/blocks.hpp"
#include "formats/disks/filesystems/ext/groups.hpp"
#include "formats/disks/filesystems/ext/superblock.hpp"

namespace formats::filesystems::ext {

struct FileBlocks {
  std::uint64_t count = 0;            // by the file's size
  std::vector<BlockRange> pieces;     // in the file's order, without holes
  std::vector<std::uint64_t> begins;  // of each piece, in the file
  std::vector<std::uint64_t> tree;    // blocks that hold the map itself

  // The block that holds the file's n-th block, n < count, and how many follow it.
  [[nodiscard]] BlockRange at(std::uint64_t n) const;
};

// All of them, at most `most`. Throws Doubt.
[[nodiscard]] FileBlocks blocks_of_inode(Blocks& blocks, const Superblock& super,
                                         const std::vector<Group>& groups, std::uint32_t inode,
                                         std::uint64_t most);

}  // namespace formats::filesystems::ext
