// Whether the files agree with the free space trees: none of them may use a block that these call
// free. xfs_repair believes the files there, so that what a tree calls free may be the only copy.
#pragma once

#include "formats/disks/disk_view.hpp"
#include "formats/disks/filesystems/free_clusters.hpp"
#include "formats/disks/filesystems/xfs/superblock.hpp"

namespace formats::filesystems::xfs {

// Reads the tree of inodes of each allocation group, all inodes that it lists, in chunks of 64,
// and the blocks that hold the maps of files: of a million files 500 MiB. `free`: counted from the
// file system's first block. Throws Doubt. Memory: one chunk, and one block for each level of a
// tree; time: each chunk once, and never more blocks of maps than the file system has.
void walk_files(DiskView& volume, const Geometry& geometry, const FreeClusters& free);

}  // namespace formats::filesystems::xfs
