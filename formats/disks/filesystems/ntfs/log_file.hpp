// NTFS's journal, as far as it tells whether the volume was left in order.
#pragma once

#include "formats/disks/filesystems/ntfs/mft.hpp"

namespace formats::filesystems::ntfs {

// Throws Doubt unless the log is empty, or the newer one of its two restart pages says that all
// is on the disk.
void check_log(Stream log);

}  // namespace formats::filesystems::ntfs
