// XFS, versions 4 and 5, with its log inside. Free is what the free space trees of all allocation
// groups say. A log that is not empty is replayed in memory. Memory: FreeClusters, 4 bytes a block
// of free space trees, and 150 MiB for a replay; time: each block of the trees and each inode once.
#pragma once

#include "formats/disks/filesystems/filesystem.hpp"

namespace formats::filesystems {

[[nodiscard]] std::optional<FileSystem> probe_xfs(DiskView& volume,
                                                  MapCheck check = MapCheck::with_files);

}  // namespace formats::filesystems
