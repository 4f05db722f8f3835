// A new VHD image: fixed, which is the disk with a footer behind it, or dynamic.
//
//   dynamic: footer's copy, header, table | bitmap, block | bitmap, block ... | footer
//
// The disk has the size that was asked for: whoever goes by the geometry (old qemu does for makers
// it does not know) finds one of exactly that size, or the largest, which says "look at the size".
//
// Source: Microsoft, Virtual Hard Disk Image Format Specification 1.0.
#pragma once

#include <cstdint>
#include <memory>

#include "formats/images/block_layout.hpp"
#include "formats/images/vhd/footer.hpp"

namespace formats::vhd {

// Where Hyper-V and Azure end.
inline constexpr std::uint64_t largest_disk = 2040 * (std::uint64_t{1} << 30);

// `size` in bytes, at most that; the image's disk has whole sectors. `kind` is fixed or dynamic.
[[nodiscard]] std::unique_ptr<BlockLayout> new_image(std::uint64_t size, Kind kind);

}  // namespace formats::vhd
