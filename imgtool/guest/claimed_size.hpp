// How many bytes a file system says that it has, by its own superblock: never by statvfs, which
// leaves out what ext4 keeps for itself, so that a partition could be cut too short.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "formats/disk_view.hpp"

namespace imgtool::guest {

// Of the file system of this type in the container, from its begin on; nothing for other types.
// Throws io::Error when it cannot be read, or is not there.
[[nodiscard]] std::optional<std::uint64_t> claimed_size(formats::DiskView& container,
                                                        std::string_view type);

}  // namespace imgtool::guest
