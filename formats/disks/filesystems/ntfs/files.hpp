// The files of NTFS. What Windows' fast startup left unwritten is not there.
//
// Source: the Linux-NTFS project's documentation (records, attributes, indexes), and [MS-FSCC]
// 2.1.2.1 for the tags of reparse points.
#pragma once

#include "formats/disks/filesystems/files.hpp"

namespace formats::filesystems::ntfs {

// Throws Doubt. NodeId::number is the file's record in the MFT.
[[nodiscard]] std::unique_ptr<FileTree> open_files(DiskView& volume);

}  // namespace formats::filesystems::ntfs
