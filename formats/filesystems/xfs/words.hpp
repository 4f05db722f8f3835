// Integers as XFS stores them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "formats/big_endian.hpp"

namespace formats::filesystems::xfs {

[[nodiscard]] inline std::uint32_t u32(std::span<const std::byte> bytes, std::size_t at) {
  return load_big_endian<std::uint32_t>(bytes, at);
}

}  // namespace formats::filesystems::xfs
