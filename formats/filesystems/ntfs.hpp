// NTFS: what $Bitmap calls free, where the volume was left in order and no file uses any of that.
#pragma once

#include "formats/filesystems/filesystem.hpp"

namespace formats::filesystems {

// See Prober.
[[nodiscard]] std::optional<FileSystem> probe_ntfs(DiskView& container);

}  // namespace formats::filesystems
