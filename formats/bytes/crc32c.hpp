// CRC-32C (Castagnoli), which ext4, XFS and btrfs put into their metadata.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace formats {

// The raw register after `bytes`, from `state` on: nothing is inverted, as Linux's crc32c() does
// it. ext4 starts with ~0 or a seed and stores what comes out; XFS and btrfs store crc32c().
[[nodiscard]] std::uint32_t crc32c_update(std::uint32_t state, std::span<const std::byte> bytes);

// The same with the four bytes at `place` taken as zeros: those in which the checksum itself lies.
[[nodiscard]] inline std::uint32_t crc32c_update_without(std::uint32_t state,
                                                         std::span<const std::byte> bytes,
                                                         std::size_t place) {
  constexpr std::array<std::byte, 4> zeros{};
  state = crc32c_update(crc32c_update(state, bytes.first(place)), zeros);
  return crc32c_update(state, bytes.subspan(place + zeros.size()));
}

// The checksum as iSCSI defines it: starts with ~0, and is inverted at the end.
[[nodiscard]] inline std::uint32_t crc32c(std::span<const std::byte> bytes) {
  return ~crc32c_update(~std::uint32_t{0}, bytes);
}

// crc32c_update() for processors without the instruction; for the tests to compare.
[[nodiscard]] std::uint32_t crc32c_update_by_table(std::uint32_t state,
                                                   std::span<const std::byte> bytes);

}  // namespace formats
