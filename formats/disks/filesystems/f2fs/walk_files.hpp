// Whether the files agree with the map of segments: none of them may use a block that this calls
// free, and together they use all blocks that it calls used. fsck.f2fs believes the files there.
#pragma once

#include "formats/disks/disk_view.hpp"
#include "formats/disks/filesystems/f2fs/checkpoint.hpp"
#include "formats/disks/filesystems/f2fs/segments.hpp"
#include "formats/disks/filesystems/f2fs/superblock.hpp"

namespace formats::filesystems::f2fs {

// Reads NAT, each inode, in the order that they lie in, and each block of the files' maps: 4 KiB a
// file at least, of a million files 4 GiB. Throws Doubt. Memory: 17 bytes a node, see read_nodes();
// time: each node once.
void walk_files(DiskView& volume, const Geometry& geometry, const Checkpoint& checkpoint,
                const Segments& segments);

}  // namespace formats::filesystems::f2fs
