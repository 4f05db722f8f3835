// Integers as btrfs stores them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "formats/bytes/little_endian.hpp"

namespace formats::filesystems::btrfs {

[[nodiscard]] inline std::uint32_t u32(std::span<const std::byte> bytes, std::size_t at) {
  return load_little_endian<std::uint32_t>(bytes, at);
}

[[nodiscard]] inline std::uint64_t u64(std::span<const std::byte> bytes, std::size_t at) {
  return load_little_endian<std::uint64_t>(bytes, at);
}

}  // namespace formats::filesystems::btrfs
