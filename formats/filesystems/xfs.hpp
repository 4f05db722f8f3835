// XFS, versions 4 and 5, with its log inside. Free is what the free space trees of all allocation
// groups say, once the log proves that nothing is waiting in it that would change them.
#pragma once

#include "formats/filesystems/filesystem.hpp"

namespace formats::filesystems {

[[nodiscard]] std::optional<FileSystem> probe_xfs(DiskView& container);

}  // namespace formats::filesystems
