// Where bytes lie: a half-open range [offset, offset + length), in bytes.
#pragma once

#include <algorithm>
#include <cstdint>

namespace io {

struct ByteRange {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;

  [[nodiscard]] constexpr std::uint64_t end() const noexcept { return offset + length; }
  [[nodiscard]] constexpr bool empty() const noexcept { return length == 0; }
  [[nodiscard]] constexpr bool contains(std::uint64_t position) const noexcept {
    return position >= offset && position - offset < length;
  }
  friend constexpr bool operator==(const ByteRange&, const ByteRange&) = default;
};

// The range from `begin` up to `end`; empty at `begin` when end <= begin.
[[nodiscard]] constexpr ByteRange range_between(std::uint64_t begin, std::uint64_t end) noexcept {
  return {begin, end > begin ? end - begin : 0};
}

// What two ranges share; empty when they share nothing.
[[nodiscard]] constexpr ByteRange intersection(ByteRange a, ByteRange b) noexcept {
  return range_between(std::max(a.offset, b.offset), std::min(a.end(), b.end()));
}

// `alignment` is any positive number, not only a power of two.
[[nodiscard]] constexpr std::uint64_t align_down(std::uint64_t value,
                                                 std::uint64_t alignment) noexcept {
  return value - value % alignment;
}
[[nodiscard]] constexpr std::uint64_t align_up(std::uint64_t value,
                                               std::uint64_t alignment) noexcept {
  return align_down(value + alignment - 1, alignment);
}

inline constexpr std::uint64_t KiB = 1024;
inline constexpr std::uint64_t MiB = 1024 * KiB;
inline constexpr std::uint64_t GiB = 1024 * MiB;

}  // namespace io
