// A new dynamic VHDX image, whose log is empty.
//
//   identifier, headers, regions | log | metadata | table | block, block ...
//
// Source: Microsoft [MS-VHDX].
#pragma once

#include <cstdint>
#include <memory>

#include "formats/images/block_layout.hpp"

namespace formats::vhdx {

inline constexpr std::uint64_t largest_new_disk = std::uint64_t{1} << 46;  // 64 TiB
inline constexpr std::uint64_t smallest_new_block = std::uint64_t{1} << 20;
inline constexpr std::uint64_t largest_new_block = std::uint64_t{1} << 28;

// 2 MiB; more for disks so large that the table would become long.
[[nodiscard]] std::uint64_t usual_block_size(std::uint64_t size);

// Whether the table of such an image is short enough for those who read it.
[[nodiscard]] bool fits(std::uint64_t size, std::uint64_t block_size);

// `size` in bytes; the image's disk has whole sectors of 512 bytes. `block_size` is a power of two
// between those above. Both fit.
[[nodiscard]] std::unique_ptr<BlockLayout> new_image(std::uint64_t size, std::uint64_t block_size);

}  // namespace formats::vhdx
