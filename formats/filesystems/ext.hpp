// ext2, ext3 and ext4: block bitmaps, checked against every counter and checksum there is. One that
// was not unmounted is looked at as if its journal had been replayed.
#pragma once

#include "formats/filesystems/filesystem.hpp"

namespace formats::filesystems {

[[nodiscard]] std::optional<FileSystem> probe_ext(DiskView& container);

}  // namespace formats::filesystems
