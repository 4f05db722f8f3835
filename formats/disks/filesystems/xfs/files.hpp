// The files of XFS, as they are after the log was replayed in memory.
//
// Source: "XFS Algorithms & Data Structures" (inodes, data fork, directories, symbolic links).
#pragma once

#include "formats/disks/filesystems/files.hpp"

namespace formats::filesystems::xfs {

// Throws Doubt. NodeId::number is the inode's.
[[nodiscard]] std::unique_ptr<FileTree> open_files(DiskView& volume);

}  // namespace formats::filesystems::xfs
