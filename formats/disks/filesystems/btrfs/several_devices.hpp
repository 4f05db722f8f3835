// A btrfs on several devices, of which this is one: what no chunk has of it.
#pragma once

#include <vector>

#include "formats/disks/disk_view.hpp"
#include "formats/disks/filesystems/btrfs/superblock.hpp"
#include "io/byte_range.hpp"

namespace formats::filesystems::btrfs {

// Reads the chunk tree alone, which has to lie on this device as a whole or as a mirror. What is
// free inside of chunks is not told: the trees that know of it may lie elsewhere. In bytes of the
// device, in any order. Throws Doubt. Memory: 16 bytes for each chunk; time: the chunk tree once.
[[nodiscard]] std::vector<io::ByteRange> find_unallocated(DiskView& volume,
                                                          const Superblock& super);

}  // namespace formats::filesystems::btrfs
