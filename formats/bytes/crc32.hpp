// CRC-32 as gzip, GPT and Android sparse images use it. Any thread; nothing fails.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace formats {

// Goes on from `crc`, which is 0 at the start.
[[nodiscard]] std::uint32_t crc32(std::uint32_t crc, std::span<const std::byte> bytes);

// The same for `length` bytes in which `word`, its lowest byte first, stands over and over; a
// multiple of four. Takes no longer for petabytes than for bytes.
[[nodiscard]] std::uint32_t crc32_of_words(std::uint32_t crc, std::uint32_t word,
                                           std::uint64_t length);

}  // namespace formats
