// Whether all trees agree with the extent tree: no block of a tree, and no extent of a file, may
// lie where that has nothing. btrfs check believes the files there.
#pragma once

#include "formats/disks/disk_view.hpp"
#include "formats/disks/filesystems/btrfs/chunk_map.hpp"
#include "formats/disks/filesystems/btrfs/gaps.hpp"
#include "formats/disks/filesystems/btrfs/superblock.hpp"

namespace formats::filesystems::btrfs {

// Reads the trees of all subvolumes, what snapshots share once, and the upper levels of all other
// trees: of a million files about 600 MiB. Throws Doubt. Memory: 50 bytes for each block, and no
// more than 2 Mi of them (32 GiB of the usual ones); time: each block once.
void walk_files(DiskView& volume, const Superblock& super, const ChunkMap& chunks,
                const Gaps& gaps);

}  // namespace formats::filesystems::btrfs
