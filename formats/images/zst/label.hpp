// The label that opens a zst file of ours: a skippable frame with the size of the content.
//
// A seekable file that was cut short between two frames has lost its seek table and would pass
// for a complete plain one. The label makes that an error.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "io/file.hpp"

namespace formats::zst {

inline constexpr std::size_t label_bytes = 24;

[[nodiscard]] std::vector<std::byte> make_label(std::uint64_t content_size);

// The content's size, where a file that begins with `start` has a label.
[[nodiscard]] std::optional<std::uint64_t> parse_label(std::span<const std::byte> start);
[[nodiscard]] std::optional<std::uint64_t> read_label(const io::File& file);

}  // namespace formats::zst
