// Integers as XFS stores them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "formats/bytes/big_endian.hpp"

namespace formats::filesystems::xfs {

[[nodiscard]] inline std::uint8_t u8(std::span<const std::byte> bytes, std::size_t at) {
  return load_big_endian<std::uint8_t>(bytes, at);
}
[[nodiscard]] inline std::uint16_t u16(std::span<const std::byte> bytes, std::size_t at) {
  return load_big_endian<std::uint16_t>(bytes, at);
}
[[nodiscard]] inline std::uint32_t u32(std::span<const std::byte> bytes, std::size_t at) {
  return load_big_endian<std::uint32_t>(bytes, at);
}
[[nodiscard]] inline std::uint64_t u64(std::span<const std::byte> bytes, std::size_t at) {
  return load_big_endian<std::uint64_t>(bytes, at);
}

}  // namespace formats::filesystems::xfs
