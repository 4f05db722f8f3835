#include "formats/bytes/utf16.hpp"

#include <cstdint>

#include "formats/bytes/little_endian.hpp"

namespace formats {
namespace {

void append(std::string& text, std::uint32_t character) {
  const auto put = [&](std::uint32_t byte) { text += static_cast<char>(byte); };
  const auto put_tail = [&](unsigned shift) { put(0x80 | ((character >> shift) & 0x3f)); };
  if (character < 0x80) {
    put(character);
  } else if (character < 0x800) {
    put(0xc0 | (character >> 6));
    put_tail(0);
  } else if (character < 0x10000) {
    put(0xe0 | (character >> 12));
    put_tail(6);
    put_tail(0);
  } else {
    put(0xf0 | (character >> 18));
    put_tail(12);
    put_tail(6);
    put_tail(0);
  }
}

}  // namespace

std::string utf8_from_utf16(std::span<const std::byte> text) {
  std::string result;
  for (std::size_t at = 0; at + 2 <= text.size(); at += 2) {
    std::uint32_t character = load_little_endian<std::uint16_t>(text, at);
    if (character == 0) break;
    if (character >= 0xd800 && character < 0xe000) {
      const std::uint32_t low =
          at + 4 <= text.size() ? load_little_endian<std::uint16_t>(text, at + 2) : 0u;
      if (character < 0xdc00 && low >= 0xdc00 && low < 0xe000) {
        character = 0x10000 + ((character - 0xd800) << 10) + (low - 0xdc00);
        at += 2;
      } else {
        character = 0xfffd;
      }
    }
    append(result, character);
  }
  return result;
}

}  // namespace formats
