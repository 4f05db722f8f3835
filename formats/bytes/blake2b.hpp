// BLAKE2b with digests of 256 bits and no key (RFC 7693), which btrfs can have for its checksums.
#pragma once

#include <array>
#include <cstddef>
#include <span>

namespace formats {

[[nodiscard]] std::array<std::byte, 32> blake2b_256(std::span<const std::byte> bytes);

}  // namespace formats
