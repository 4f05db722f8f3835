// f2fs on one device, as of the last checkpoint, which has to be one of an unmount: free is what no
// segment's bitmap of the main area has, where the files agree. Memory: FreeClusters, and 17 bytes
// a node (128 MiB at most); time: NAT, and 4 KiB a file, a million files being 4 GiB.
#pragma once

#include "formats/disks/filesystems/filesystem.hpp"

namespace formats::filesystems {

[[nodiscard]] std::optional<FileSystem> probe_f2fs(DiskView& volume,
                                                   MapCheck check = MapCheck::with_files);

}  // namespace formats::filesystems
