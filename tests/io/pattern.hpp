// Bytes that tell where they belong: no zeros, and different at every offset nearby.
#pragma once

#include <cstdint>
#include <vector>

#include "io/byte_range.hpp"

namespace io {

inline std::byte pattern_at(std::uint64_t offset, std::uint64_t seed = 0) {
  const std::uint64_t mixed = (offset + seed * 977 + 1) * 0x9e3779b97f4a7c15ULL;
  return static_cast<std::byte>(1 + (mixed >> 40) % 255);
}

inline std::vector<std::byte> pattern(ByteRange range, std::uint64_t seed = 0) {
  std::vector<std::byte> bytes(range.length);
  for (std::uint64_t at = 0; at < range.length; ++at) {
    bytes[at] = pattern_at(range.offset + at, seed);
  }
  return bytes;
}

}  // namespace io
