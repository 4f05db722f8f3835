// Which bytes of its device a btrfs does not use.
#pragma once

#include <vector>

#include "formats/disks/disk_view.hpp"
#include "formats/disks/filesystems/btrfs/chunk_map.hpp"
#include "formats/disks/filesystems/btrfs/superblock.hpp"
#include "formats/disks/filesystems/filesystem.hpp"
#include "io/byte_range.hpp"

namespace formats::filesystems::btrfs {

// Where all chunks lie, by the chunk tree, whose blocks are told in `blocks_read`. Throws Doubt.
// For a file system on one device.
[[nodiscard]] ChunkMap read_chunks(DiskView& volume, const Superblock& super,
                                   std::vector<std::uint64_t>& blocks_read);

// Reads the chunk tree and the extent tree. What they say must agree with each other, with the
// counts of all block groups and with the superblock's; the blocks that were read must be in use.
// In bytes of the device, ascending, disjoint. Throws Doubt. On several devices: what no chunk has.
[[nodiscard]] std::vector<io::ByteRange> find_free(DiskView& volume, const Superblock& super,
                                                   MapCheck check);

}  // namespace formats::filesystems::btrfs
