// exFAT: what its bitmap calls free, where no file uses any of that. Memory: one bit a cluster, and
// FreeClusters; time: the bitmap and each directory once, since no cluster is two files'.
#pragma once

#include "formats/disks/filesystems/filesystem.hpp"

namespace formats::filesystems {

// See Prober.
[[nodiscard]] std::optional<FileSystem> probe_exfat(DiskView& view,
                                                    MapCheck check = MapCheck::with_files);

}  // namespace formats::filesystems
