// The files of FAT12, FAT16 and FAT32.
//
// Source: Microsoft's "FAT32 File System Specification" 1.03, long names included.
#pragma once

#include "formats/disks/filesystems/files.hpp"

namespace formats::filesystems::fat {

// Throws Doubt. NodeId::number is where in the volume the entry lies that tells of the file; 0 is
// the root's.
[[nodiscard]] std::unique_ptr<FileTree> open_files(DiskView& volume);

}  // namespace formats::filesystems::fat
