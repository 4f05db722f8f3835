// A new dynamic VDI image.
//
//   header | table at 1 MiB | block, block ...
//
// Source: VirtualBox, src/VBox/Storage/VDICore.h.
#pragma once

#include <cstdint>
#include <memory>

#include "formats/images/block_layout.hpp"
#include "formats/images/vdi/header.hpp"

namespace formats::vdi {

inline constexpr std::uint64_t new_block_bytes = 1 * io::MiB;  // qemu knows no other
inline constexpr std::uint64_t largest_disk = most_map_bytes / 4 * new_block_bytes;

// `size` in bytes, at most that; the image's disk has whole sectors.
[[nodiscard]] std::unique_ptr<BlockLayout> new_image(std::uint64_t size);

}  // namespace formats::vdi
