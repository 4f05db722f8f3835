// Whether the files agree with $Bitmap: none of them may use a cluster that it calls free.
#pragma once

#include "formats/disks/filesystems/free_clusters.hpp"
#include "formats/disks/filesystems/ntfs/mft.hpp"

namespace formats::filesystems::ntfs {

// Reads all of the MFT. Throws Doubt where a file uses one of `free`, where a record that is in
// use cannot be read, and where Windows sleeps in hiberfil.sys.
void walk_mft(DiskView& volume, Mft& mft, const FreeClusters& free);

}  // namespace formats::filesystems::ntfs
