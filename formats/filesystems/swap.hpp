// Linux swap areas. All pages behind the first one are free, unless a hibernated system is in it.
#pragma once

#include "formats/filesystems/filesystem.hpp"

namespace formats::filesystems {

[[nodiscard]] std::optional<FileSystem> probe_swap(DiskView& container);

// What probe_swap() calls the image of a hibernated system. Such a system has file systems mounted,
// here or elsewhere on the disk.
inline constexpr std::string_view hibernated_type = "swsuspend";

}  // namespace formats::filesystems
