// What the segments of f2fs hold: SIT, with its journal.
#pragma once

#include <cstdint>

#include "formats/disks/disk_view.hpp"
#include "formats/disks/filesystems/f2fs/checkpoint.hpp"
#include "formats/disks/filesystems/f2fs/superblock.hpp"
#include "formats/disks/filesystems/free_clusters.hpp"

namespace formats::filesystems::f2fs {

struct Segments {
  FreeClusters free;             // blocks, counted from the first of the main area
  std::uint64_t used = 0;        // blocks
  std::uint64_t used_nodes = 0;  // of them, in segments for nodes
};

// Throws Doubt where entries contradict themselves or the counts of the checkpoint. Memory: see
// FreeClusters; time: a block for each 55 segments (110 MiB).
[[nodiscard]] Segments read_segments(DiskView& volume, const Geometry& geometry,
                                     const Checkpoint& checkpoint);

}  // namespace formats::filesystems::f2fs
