// NTFS: what $Bitmap calls free, where the volume was left in order and no file uses any of that.
// Memory: FreeClusters, and the runs of $MFT and $Bitmap; time: $Bitmap and each record once.
#pragma once

#include "formats/disks/filesystems/filesystem.hpp"
#include "io/overlay_source.hpp"

namespace formats::filesystems {

// See Prober.
[[nodiscard]] std::optional<FileSystem> probe_ntfs(DiskView& volume,
                                                   MapCheck check = MapCheck::with_files);

// What makes the map of an NTFS readable that is as it should be but for its dirty mark, which its
// owner knows to be set without need: the flags of $Volume without it, in bytes of the volume.
// Nothing where it is not set, or what is there is not understood.
[[nodiscard]] std::optional<io::Patch> without_dirty_mark(DiskView& volume);

}  // namespace formats::filesystems
