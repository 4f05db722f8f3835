// LZNT1, as NTFS compresses files.
//
// Source: [MS-XCA] 2.5, "LZNT1 Algorithm Details".
#pragma once

#include <cstddef>
#include <optional>
#include <span>

namespace formats {

// Decodes chunks of 4096 bytes, one after the other, until `out` is full or the stream ends; what
// is left of `out` is zeroed. Gives how much was decoded; nothing: the stream is damaged.
[[nodiscard]] std::optional<std::size_t> decode_lznt1(std::span<const std::byte> stream,
                                                      std::span<std::byte> out);

}  // namespace formats
