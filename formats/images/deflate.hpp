// Encodes one block as a stream of its own: the counterpart of formats/images/inflate.hpp.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace formats {

// libdeflate's levels are 1 to this.
inline constexpr int highest_deflate_level = 12;

// A raw deflate stream. Gives its length; 0 where `out` has no room for it. Any thread may call
// this, and the one below.
[[nodiscard]] std::size_t deflate_block(int level, std::span<const std::byte> block,
                                        std::span<std::byte> out);

// Appends a zlib stream to `out`, and gives its length.
std::size_t deflate_zlib(int level, std::span<const std::byte> block, std::vector<std::byte>& out);

}  // namespace formats
