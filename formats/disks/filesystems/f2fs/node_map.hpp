// Where the nodes of f2fs lie: NAT, with its journal. A node is an inode, or a part of a file's
// map.
#pragma once

#include <cstdint>
#include <vector>

#include "formats/disks/disk_view.hpp"
#include "formats/disks/filesystems/f2fs/checkpoint.hpp"
#include "formats/disks/filesystems/f2fs/superblock.hpp"

namespace formats::filesystems::f2fs {

struct Node {
  std::uint32_t number = 0;
  std::uint32_t inode = 0;    // the number of the inode that it belongs to, which may be its own
  std::uint32_t address = 0;  // unchecked
};

// All that are in use, by ascending numbers, but for the two that stand for areas. Throws Doubt,
// also for more than 8 Mi of them (96 MiB). Time: all of one set of NAT, which mkfs.f2fs makes no
// longer than 120 MiB by default.
[[nodiscard]] std::vector<Node> read_nodes(DiskView& volume, const Geometry& geometry,
                                           const Checkpoint& checkpoint);

}  // namespace formats::filesystems::f2fs
