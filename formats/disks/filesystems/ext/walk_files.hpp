// Whether the files agree with the bitmaps: none of them may use a block that these call free.
// e2fsck believes the files there, so that what a bitmap calls free may be the only copy.
#pragma once

#include <vector>

#include "formats/disks/filesystems/ext/blocks.hpp"
#include "formats/disks/filesystems/ext/groups.hpp"
#include "formats/disks/filesystems/ext/superblock.hpp"
#include "io/byte_range.hpp"

namespace formats::filesystems::ext {

// Reads the inode tables as far as they were ever used, in pieces of 1 MiB, and the blocks that
// hold the maps of files: of a million files 256 MiB. `free`: ascending, in bytes. Throws Doubt.
void walk_files(Blocks& blocks, const Superblock& super, const std::vector<Group>& groups,
                const std::vector<io::ByteRange>& free);

}  // namespace formats::filesystems::ext
