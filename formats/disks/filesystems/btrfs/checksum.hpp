// The checksum in front of a btrfs superblock or tree block, of any of the four kinds that there
// are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace formats::filesystems::btrfs {

// By the numbers that the superblock has for them.
enum class ChecksumKind : std::uint16_t { crc32c = 0, xxhash64 = 1, sha256 = 2, blake2b = 3 };

// Whether it is right. `block` is longer than the 32 bytes that are kept for a checksum.
[[nodiscard]] bool has_right_checksum(std::span<const std::byte> block, ChecksumKind kind);

}  // namespace formats::filesystems::btrfs
