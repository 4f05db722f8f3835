// The free blocks of an ext file system, by its bitmaps.
#pragma once

#include <vector>

#include "formats/disks/filesystems/ext/blocks.hpp"
#include "formats/disks/filesystems/ext/groups.hpp"
#include "formats/disks/filesystems/ext/superblock.hpp"
#include "io/byte_range.hpp"

namespace formats::filesystems::ext {

// In bytes, ascending, disjoint. A block is free when the bitmaps say so after the replay of the
// journal and before, and nothing that must lie in the file system lies there. Throws Doubt when
// bitmaps, counters, checksums or the places of metadata do not agree. Memory: see FreeClusters.
[[nodiscard]] std::vector<io::ByteRange> free_blocks(Blocks& blocks, const Superblock& super,
                                                     const std::vector<Group>& groups);

}  // namespace formats::filesystems::ext
