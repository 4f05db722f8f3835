// Integers, bitmaps and the checksum of f2fs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "formats/bytes/crc32.hpp"
#include "formats/bytes/little_endian.hpp"

namespace formats::filesystems::f2fs {

[[nodiscard]] inline std::uint8_t u8(std::span<const std::byte> bytes, std::size_t at) {
  return load_little_endian<std::uint8_t>(bytes, at);
}
[[nodiscard]] inline std::uint16_t u16(std::span<const std::byte> bytes, std::size_t at) {
  return load_little_endian<std::uint16_t>(bytes, at);
}
[[nodiscard]] inline std::uint32_t u32(std::span<const std::byte> bytes, std::size_t at) {
  return load_little_endian<std::uint32_t>(bytes, at);
}
[[nodiscard]] inline std::uint64_t u64(std::span<const std::byte> bytes, std::size_t at) {
  return load_little_endian<std::uint64_t>(bytes, at);
}

// Bits of all its bitmaps are counted from the highest of a byte on.
[[nodiscard]] inline bool bit_at(std::span<const std::byte> bits, std::size_t number) {
  return (u8(bits, number / 8) >> (7 - number % 8) & 1) != 0;
}

// The polynomial of CRC-32, without the inversions before and after.
[[nodiscard]] inline std::uint32_t checksum(std::uint32_t seed, std::span<const std::byte> bytes) {
  return ~crc32(~seed, bytes);
}

inline constexpr std::uint32_t magic = 0xF2F52010;  // also the seed of most checksums

}  // namespace formats::filesystems::f2fs
