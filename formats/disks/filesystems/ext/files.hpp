// The files of ext2, ext3 and ext4, as they are after the journal was replayed in memory.
//
// Source of the layout: Documentation/filesystems/ext4 of Linux (inodes, directories, extents,
// inline data).
#pragma once

#include "formats/disks/filesystems/files.hpp"

namespace formats::filesystems::ext {

// Throws Doubt. NodeId::number is the inode's.
[[nodiscard]] std::unique_ptr<FileTree> open_files(DiskView& volume);

}  // namespace formats::filesystems::ext
