// btrfs on one device. Free is what no chunk lies in, and within chunks what the extent tree of
// the committed generation does not have. Nothing that this generation uses is ever written over,
// so an image of a mounted file system is as good as one of an unmounted, as long as no log tree
// holds what was fsynced since.
#pragma once

#include "formats/filesystems/filesystem.hpp"

namespace formats::filesystems {

[[nodiscard]] std::optional<FileSystem> probe_btrfs(DiskView& container);

}  // namespace formats::filesystems
