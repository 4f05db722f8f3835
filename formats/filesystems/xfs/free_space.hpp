// What the free space trees of all allocation groups of an XFS say.
#pragma once

#include "formats/disk_view.hpp"
#include "formats/filesystems/free_clusters.hpp"
#include "formats/filesystems/xfs/superblock.hpp"

namespace formats::filesystems::xfs {

struct FreeSpace {
  FreeClusters blocks;         // counted from the file system's first block
  std::uint64_t reserved = 0;  // in the AGs' free lists: for trees to grow, and not in `blocks`
  std::uint64_t in_trees = 0;  // blocks of free space trees beyond their roots
};

// Each AG has its free extents in two trees, by place and by size. Both are walked, and must
// agree with each other and with the counts in the AG's header; what they themselves lie in must
// not be free. Throws Doubt.
[[nodiscard]] FreeSpace read_free_space(DiskView& container, const Geometry& geometry);

}  // namespace formats::filesystems::xfs
