// Metadata blocks of version 5 carry a checksum, and the place in the log (LSN) that they were
// written for last. Both are at other places in each kind of block.
#pragma once

#include <cstdint>
#include <span>

#include "formats/disks/filesystems/xfs/superblock.hpp"

namespace formats::filesystems::xfs {

// Whether the block as it is on the disk is of `lsn` or later, so that a replay leaves it alone.
[[nodiscard]] bool is_newer(std::span<const std::byte> block, std::uint64_t lsn,
                            const Geometry& geometry);

// Makes the checksum right of a block that is one of those which parsers here read.
void seal(std::span<std::byte> block, const Geometry& geometry);

// The same for the checksum at `field`.
void seal_at(std::span<std::byte> block, std::size_t field);

}  // namespace formats::filesystems::xfs
