// Where the parts of a VHDX image are, and by which GUIDs they go, for those who read and who write
// it.
//
// Source: Microsoft [MS-VHDX].
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "formats/bytes/little_endian.hpp"
#include "formats/images/vhdx/log.hpp"
#include "io/byte_range.hpp"

namespace formats::vhdx {

inline constexpr std::string_view magic = "vhdxfile";
inline constexpr std::uint64_t creator_at = 8;
inline constexpr std::uint64_t creator_bytes = 512;
inline constexpr std::array<std::uint64_t, 2> header_places = {64 * io::KiB, 128 * io::KiB};
inline constexpr std::uint64_t header_bytes = 4 * io::KiB;
inline constexpr std::array<std::uint64_t, 2> region_places = {192 * io::KiB, 256 * io::KiB};
inline constexpr std::uint64_t table_bytes = 64 * io::KiB;  // of regions, and of metadata
inline constexpr std::uint64_t row_bytes = 32;
inline constexpr std::uint64_t largest_disk = 65536 * io::GiB;
inline constexpr std::uint64_t largest_block = 256 * io::MiB;

// As it is written: the first three numbers are little-endian in the file.
constexpr Guid guid(std::uint32_t a, std::uint16_t b, std::uint16_t c, std::uint64_t d) {
  Guid bytes{};
  const std::span<std::byte> all(bytes);
  store_little_endian(all, 0, a);
  store_little_endian(all, 4, b);
  store_little_endian(all, 6, c);
  for (std::size_t i = 0; i < 8; ++i) bytes[8 + i] = static_cast<std::byte>(d >> (56 - 8 * i));
  return bytes;
}

inline constexpr Guid block_table_region = guid(0x2dc27766, 0xf623, 0x4200, 0x9d64115e9bfd4a08);
inline constexpr Guid metadata_region = guid(0x8b7ca206, 0x4790, 0x4b9a, 0xb8fe575f050f886e);
inline constexpr Guid file_parameters = guid(0xcaa16737, 0xfa36, 0x4d43, 0xb3b633f0aa44e76b);
inline constexpr Guid virtual_disk_size = guid(0x2fa54224, 0xcd1b, 0x4876, 0xb2115dbed83bf4b8);
inline constexpr Guid page_83_data = guid(0xbeca12ab, 0xb2e6, 0x4523, 0x93efc309e000c746);
inline constexpr Guid logical_sector_size = guid(0x8141bf1d, 0xa96f, 0x4709, 0xba47f233a8faab5f);
inline constexpr Guid physical_sector_size = guid(0xcda348c7, 0x445d, 0x4471, 0x9cc9e9885251c556);
inline constexpr Guid parent_locator = guid(0xa8d35f2d, 0xb30b, 0x454d, 0xabf7d3d84834ab0c);

}  // namespace formats::vhdx
