// Where the fields of a qcow2 header stand in the file, and what their bits mean.
#pragma once

#include <cstddef>
#include <cstdint>

namespace formats::qcow2 {

inline constexpr std::uint32_t magic = 0x514649fb;  // "QFI\xfb"
inline constexpr std::uint64_t v2_header_bytes = 72;
inline constexpr std::uint64_t v3_header_bytes = 104;
inline constexpr std::uint64_t written_v3_header_bytes = 112;  // with the compression type
inline constexpr std::uint64_t known_autoclear_bits = 3;

// Where each field stands in the file.
namespace at {
inline constexpr std::size_t version = 4;
inline constexpr std::size_t backing_offset = 8;
inline constexpr std::size_t backing_size = 16;
inline constexpr std::size_t cluster_bits = 20;
inline constexpr std::size_t virtual_size = 24;
inline constexpr std::size_t crypt_method = 32;
inline constexpr std::size_t l1_size = 36;
inline constexpr std::size_t l1_offset = 40;
inline constexpr std::size_t refcount_table_offset = 48;
inline constexpr std::size_t refcount_table_clusters = 56;
inline constexpr std::size_t snapshot_count = 60;
inline constexpr std::size_t snapshots_offset = 64;
inline constexpr std::size_t incompatible = 72;
inline constexpr std::size_t compatible = 80;
inline constexpr std::size_t autoclear = 88;
inline constexpr std::size_t refcount_order = 96;
inline constexpr std::size_t header_length = 100;
inline constexpr std::size_t compression_type = 104;
}  // namespace at

namespace incompatible_bit {
inline constexpr std::uint64_t dirty = 1 << 0;
inline constexpr std::uint64_t corrupt = 1 << 1;
inline constexpr std::uint64_t external_data = 1 << 2;
inline constexpr std::uint64_t compression = 1 << 3;
inline constexpr std::uint64_t extended_l2 = 1 << 4;
inline constexpr std::uint64_t known = (1 << 5) - 1;
}  // namespace incompatible_bit

namespace extension {
inline constexpr std::uint32_t end = 0;
inline constexpr std::uint32_t backing_format = 0xe2792aca;
inline constexpr std::uint32_t feature_names = 0x6803f857;
inline constexpr std::uint32_t bitmaps = 0x23852875;
inline constexpr std::uint32_t encryption = 0x0537be77;
inline constexpr std::uint32_t data_file = 0x44415441;
}  // namespace extension

}  // namespace formats::qcow2
