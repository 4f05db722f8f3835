// Little-endian integers in the bytes of an image.
#pragma once

#include <array>
#include <cassert>
#include <concepts>
#include <cstddef>
#include <span>

namespace formats {

// The integer at `offset`; it must lie inside `bytes`.
template <std::unsigned_integral T>
[[nodiscard]] constexpr T load_little_endian(std::span<const std::byte> bytes, std::size_t offset) {
  assert(offset <= bytes.size() && sizeof(T) <= bytes.size() - offset);
  T value = 0;
  for (std::size_t i = sizeof(T); i-- > 0;) {
    value =
        static_cast<T>((value << (sizeof(T) > 1 ? 8 : 0)) | std::to_integer<T>(bytes[offset + i]));
  }
  return value;
}

template <std::unsigned_integral T>
constexpr void store_little_endian(std::span<std::byte> bytes, std::size_t offset, T value) {
  assert(offset <= bytes.size() && sizeof(T) <= bytes.size() - offset);
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    bytes[offset + i] = static_cast<std::byte>(value & 0xff);
    value = static_cast<T>(value >> (sizeof(T) > 1 ? 8 : 0));
  }
}

template <std::unsigned_integral T>
[[nodiscard]] constexpr std::array<std::byte, sizeof(T)> little_endian_bytes(T value) {
  std::array<std::byte, sizeof(T)> bytes{};
  store_little_endian(std::span<std::byte>(bytes), 0, value);
  return bytes;
}

}  // namespace formats
