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

// Offsets in an inode (struct ext4_inode), by the names of its fields.
enum InodeField : std::size_t {
  i_mode = 0,
  i_uid = 2,
  i_size_lo = 4,
  i_mtime = 0x10,
  i_gid = 0x18,
  i_links_count = 0x1A,
  i_blocks_lo = 0x1C,
  i_flags = 0x20,
  i_block = 0x28,
  i_file_acl_lo = 0x68,
  i_size_high = 0x6C,
  i_blocks_high = 0x74,
  i_file_acl_high = 0x76,
  l_i_uid_high = 0x78,
  l_i_gid_high = 0x7A,
  i_extra_isize = 0x80,
  i_mtime_extra = 0x88,
};

inline constexpr std::size_t map_size = 60;  // of i_block, in bytes
// In i_flags: EXT4_EXTENTS_FL, EXT4_INLINE_DATA_FL.
inline constexpr std::uint32_t flag_extents = 0x80000;
inline constexpr std::uint32_t flag_inline_data = 0x10000000;

}  // namespace formats::filesystems::ext
