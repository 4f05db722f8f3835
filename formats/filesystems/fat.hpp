// FAT12, FAT16 and FAT32: what the file allocation table calls free, where all copies of it say
// the same and neither a file's chain nor a directory contradicts.
#pragma once

#include "formats/filesystems/filesystem.hpp"

namespace formats::filesystems {

// See Prober.
[[nodiscard]] std::optional<FileSystem> probe_fat(DiskView& container);

}  // namespace formats::filesystems
