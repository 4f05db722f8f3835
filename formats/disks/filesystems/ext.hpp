// ext2, ext3 and ext4: block bitmaps, checked against every counter and checksum there is, and
// against the maps of all files. One that was not unmounted is looked at as if its journal had been
// replayed. Memory: 40 bytes a block group, and FreeClusters; time: each bitmap and each block that
// was ever used for inodes once, of the journal twice.
#pragma once

#include "formats/disks/filesystems/filesystem.hpp"

namespace formats::filesystems {

[[nodiscard]] std::optional<FileSystem> probe_ext(DiskView& volume,
                                                  MapCheck check = MapCheck::with_files);

}  // namespace formats::filesystems
