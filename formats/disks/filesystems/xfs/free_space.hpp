// What the free space trees of all allocation groups of an XFS say.
#pragma once

#include "formats/disks/disk_view.hpp"
#include "formats/disks/filesystems/free_clusters.hpp"
#include "formats/disks/filesystems/xfs/superblock.hpp"

namespace formats::filesystems::xfs {

struct FreeSpace {
  FreeClusters blocks;  // counted from the file system's first block
  // Sums over all AGs, by the names of the counts in their headers (AGF).
  std::uint64_t agf_flcount = 0;    // in the AGFLs: for trees to grow, and not in `blocks`
  std::uint64_t agf_btreeblks = 0;  // blocks of free space trees beyond their roots
};

// Each AG has its free extents in two trees, by place (bnobt) and by size (cntbt). Both are walked,
// and must agree with each other and with the counts in the AG's header; what they themselves lie
// in must not be free. Throws Doubt.
[[nodiscard]] FreeSpace read_free_space(DiskView& volume, const Geometry& geometry);

}  // namespace formats::filesystems::xfs
