// FAT12, FAT16 and FAT32: what the file allocation table calls free, where all copies of it say
// the same and neither a file's chain nor a directory contradicts. Memory: two bits a cluster, 64
// MiB at most, and FreeClusters; time: each table and each directory once.
#pragma once

#include "formats/disks/filesystems/filesystem.hpp"

namespace formats::filesystems {

// See Prober.
[[nodiscard]] std::optional<FileSystem> probe_fat(DiskView& volume,
                                                  MapCheck check = MapCheck::with_files);

}  // namespace formats::filesystems
