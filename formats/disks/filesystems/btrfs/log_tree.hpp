// The log tree of btrfs: what was synced (fsync) after the last commit, and is in no other tree. A
// mount brings it home; until then only the log tree knows that its space is in use.
#pragma once

#include <vector>

#include "formats/disks/disk_view.hpp"
#include "formats/disks/filesystems/btrfs/chunk_map.hpp"
#include "formats/disks/filesystems/btrfs/superblock.hpp"
#include "io/byte_range.hpp"

namespace formats::filesystems::btrfs {

// The blocks of the log trees, and all extents that they name; logical addresses, in any order,
// some of them in other trees as well. For a file system that has one. Throws Doubt. Memory: 16
// bytes for each, and no more than 1 Mi of them; time: each block once.
[[nodiscard]] std::vector<io::ByteRange> read_log(DiskView& volume, const Superblock& super,
                                                  const ChunkMap& chunks);

}  // namespace formats::filesystems::btrfs
