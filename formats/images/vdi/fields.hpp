// Where the fields of a VDI header are, for those who read and who write it.
//
// Source: VirtualBox, src/VBox/Storage/VDICore.h.
#pragma once

#include <cstddef>
#include <cstdint>

namespace formats::vdi {

inline constexpr std::uint32_t magic = 0xbeda107f;
inline constexpr std::uint32_t version_1_1 = 0x00010001;
inline constexpr std::uint64_t sector = 512;

// Where the fields are, in bytes from the start of the file.
namespace at {
inline constexpr std::size_t magic = 64;
inline constexpr std::size_t version = 68;
inline constexpr std::size_t header_size = 72;
inline constexpr std::size_t kind = 76;
inline constexpr std::size_t map_offset = 340;
inline constexpr std::size_t data_offset = 344;
inline constexpr std::size_t sector_size = 360;
inline constexpr std::size_t virtual_size = 368;
inline constexpr std::size_t block_size = 376;
inline constexpr std::size_t extra = 380;
inline constexpr std::size_t blocks = 384;
inline constexpr std::size_t used_blocks = 388;
inline constexpr std::size_t create_id = 392;
inline constexpr std::size_t modify_id = 408;
inline constexpr std::size_t link_id = 424;
inline constexpr std::size_t end_of_ids = 456;
inline constexpr std::size_t logical_sector_size =
    468;  // of the geometry that stands behind the IDs
}  // namespace at

}  // namespace formats::vdi
