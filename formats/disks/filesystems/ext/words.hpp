// Little-endian words of ext's structures, and what several readers of inodes share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "formats/bytes/little_endian.hpp"

namespace formats::filesystems::ext {

[[nodiscard]] inline std::uint16_t u16(std::span<const std::byte> bytes, std::size_t at) {
  return load_little_endian<std::uint16_t>(bytes, at);
}
[[nodiscard]] inline std::uint32_t u32(std::span<const std::byte> bytes, std::size_t at) {
  return load_little_endian<std::uint32_t>(bytes, at);
}

inline constexpr std::size_t map_size = 60;             // of i_block, in bytes
inline constexpr std::uint32_t flag_extents = 0x80000;  // EXT4_EXTENTS_FL in i_flags

}  // namespace formats::filesystems::ext
