// The files of btrfs, from its top level on: subvolumes and snapshots are folders there. As they
// were at the last commit.
//
// Source: fs/btrfs/accessors.h and btrfs_tree.h of Linux, for the fields of items.
#pragma once

#include "formats/disks/filesystems/files.hpp"

namespace formats::filesystems::btrfs {

// Throws Doubt. NodeId: the inode, and the tree of its subvolume.
[[nodiscard]] std::unique_ptr<FileTree> open_files(DiskView& volume);

}  // namespace formats::filesystems::btrfs
