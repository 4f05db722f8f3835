// btrfs. Free is what no chunk lies in, and within chunks what the extent tree of the committed
// generation does not have. Nothing that this generation uses is ever written over, so an image of
// a mounted file system is as good as one of an unmounted. What a log tree, which holds what was
// synced since, names is in use as well. Of several devices each has free what no chunk has of it.
// Memory: 1 Mi free ranges, 60 bytes a block of the trees, 2 Mi of them at most; time: each block
// once.
#pragma once

#include "formats/disks/filesystems/filesystem.hpp"

namespace formats::filesystems {

[[nodiscard]] std::optional<FileSystem> probe_btrfs(DiskView& volume,
                                                    MapCheck check = MapCheck::with_files);

}  // namespace formats::filesystems
