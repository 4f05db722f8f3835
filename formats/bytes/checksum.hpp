// Whether a checksum that was read is the one that was computed: for whatever a parser reads about
// an image, not for its content. Any thread.
//
// A program may bring its own definitions, which then count instead of these: the fuzz targets are
// content with any checksum, or no input that libFuzzer changed would get past them.
#pragma once

#include <cstdint>
#include <string_view>

namespace formats {

[[nodiscard]] bool checksum_fits(std::uint32_t stored, std::uint32_t computed) noexcept;
[[nodiscard]] bool checksum_fits(std::string_view stored, std::string_view computed) noexcept;

}  // namespace formats
