// Bytes as hexadecimal digits, in small letters.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace formats {

inline std::string hex_of(std::span<const std::byte> bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const std::byte byte : bytes) {
    const auto value = std::to_integer<unsigned>(byte);
    text += digits[value >> 4];
    text += digits[value & 15];
  }
  return text;
}

}  // namespace formats
