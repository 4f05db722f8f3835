// exFAT: what its bitmap calls free, where no file uses any of that.
#pragma once

#include "formats/filesystems/filesystem.hpp"

namespace formats::filesystems {

// See Prober.
[[nodiscard]] std::optional<FileSystem> probe_exfat(DiskView& container);

}  // namespace formats::filesystems
