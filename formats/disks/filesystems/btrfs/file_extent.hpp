// An extent of a file, as the trees of subvolumes name it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "formats/disks/filesystems/btrfs/tree.hpp"
#include "io/byte_range.hpp"

namespace formats::filesystems::btrfs {

inline constexpr std::uint8_t file_extent = 108;  // the type of its key

// The logical addresses of what the item says is on the disk, in whole sectors; nothing for a hole,
// and for what lies in the item itself. Throws Doubt, which tells of the tree and of the key.
[[nodiscard]] std::optional<io::ByteRange> parse_file_extent(std::uint64_t tree, const Key& key,
                                                             std::span<const std::byte> item,
                                                             std::uint32_t sector_size);

}  // namespace formats::filesystems::btrfs
