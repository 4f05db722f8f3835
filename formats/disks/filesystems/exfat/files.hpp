// The files of exFAT.
//
// Source: Microsoft's "exFAT file system specification", sections 6 and 7.
#pragma once

#include "formats/disks/filesystems/files.hpp"

namespace formats::filesystems::exfat {

// Throws Doubt. NodeId is where in the volume the two entries lie that tell of the file and of its
// clusters; zeros are the root's.
[[nodiscard]] std::unique_ptr<FileTree> open_files(DiskView& volume);

}  // namespace formats::filesystems::exfat
