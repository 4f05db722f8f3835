// NTFS: what $Bitmap calls free, where the volume was left in order and no file uses any of that.
// Memory: FreeClusters, and the runs of $MFT and $Bitmap; time: $Bitmap and each record once.
#pragma once

#include "formats/disks/filesystems/filesystem.hpp"

namespace formats::filesystems {

// See Prober.
[[nodiscard]] std::optional<FileSystem> probe_ntfs(DiskView& volume,
                                                   MapCheck check = MapCheck::with_files);

}  // namespace formats::filesystems
