// How many bytes a file system says that it has, by its own superblock: never by statvfs, which
// leaves out what ext4 keeps for itself, so that a partition could be cut too short.
//
// Asks the parsers' own readers of that field, and nothing else of them: what a map's many checks
// doubt must not keep a verification from seeing the size.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "formats/disks/disk_view.hpp"

namespace formats::filesystems {

// The size of the file system of this type in the volume, from its begin on; nothing for other
// types. Throws io::Error when it cannot be read, or is not there.
[[nodiscard]] std::optional<std::uint64_t> claimed_size(DiskView& volume, std::string_view type);

}  // namespace formats::filesystems
