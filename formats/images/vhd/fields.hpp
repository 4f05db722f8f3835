// Where the fields of a VHD image are, for those who read and who write it.
//
// Source: Microsoft, Virtual Hard Disk Image Format Specification 1.0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace formats::vhd {

inline constexpr std::string_view footer_cookie = "conectix";
inline constexpr std::string_view header_cookie = "cxsparse";
inline constexpr std::uint32_t version_1_0 = 0x00010000;

// Where the fields of the footer are.
namespace at {
inline constexpr std::size_t features = 8;
inline constexpr std::size_t version = 12;
inline constexpr std::size_t header_offset = 16;
inline constexpr std::size_t creator = 28;
inline constexpr std::size_t creator_version = 32;
inline constexpr std::size_t creator_host = 36;
inline constexpr std::size_t original_size = 40;
inline constexpr std::size_t current_size = 48;
inline constexpr std::size_t cylinders = 56;
inline constexpr std::size_t heads = 58;
inline constexpr std::size_t sectors = 59;
inline constexpr std::size_t kind = 60;
inline constexpr std::size_t checksum = 64;
inline constexpr std::size_t id = 68;
inline constexpr std::size_t hidden = 85;  // tapdisk's
}  // namespace at

// Those of the dynamic header.
namespace in_header {
inline constexpr std::size_t next = 8;
inline constexpr std::size_t table_offset = 16;
inline constexpr std::size_t version = 24;
inline constexpr std::size_t entries = 28;
inline constexpr std::size_t block_size = 32;
inline constexpr std::size_t checksum = 36;
inline constexpr std::size_t parent_id = 40;
inline constexpr std::size_t parent = 64;
inline constexpr std::size_t parent_bytes = 512;
}  // namespace in_header

inline constexpr std::size_t id_bytes = 16;

// The complement of the sum of all bytes but those of the checksum itself.
[[nodiscard]] std::uint32_t ones_complement(std::span<const std::byte> bytes,
                                            std::size_t checksum_at);

}  // namespace formats::vhd
