// An extent: a contiguous range of one kind.
#pragma once

#include "io/byte_range.hpp"

namespace io {

enum class ExtentKind : std::uint8_t {
  data,  // bytes that must be read to be known
  zero,  // reads as zeros, and is meant to: they were written, or space was set aside
  hole,  // reads as zeros, since nothing was ever written here
  skip,  // what is here does not matter (bmap's unmapped blocks under --skip-holes)
};

struct Extent {
  ByteRange range;
  ExtentKind kind = ExtentKind::data;

  [[nodiscard]] constexpr bool reads_as_zero() const noexcept {
    return kind == ExtentKind::zero || kind == ExtentKind::hole;
  }
  friend constexpr bool operator==(const Extent&, const Extent&) = default;
};

}  // namespace io
