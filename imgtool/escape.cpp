#include "imgtool/escape.hpp"

#include <array>
#include <cstdint>

#include <fmt/format.h>

namespace imgtool {
namespace {

struct CodePoint {
  std::uint32_t value;
  std::size_t length;  // bytes; 0 when the bytes are not UTF-8
};

unsigned char byte_at(std::string_view text, std::size_t position) {
  return static_cast<unsigned char>(text[position]);
}

std::size_t sequence_length(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return 2;
  if (lead >= 0xE0 && lead <= 0xEF) return 3;
  if (lead >= 0xF0 && lead <= 0xF4) return 4;
  return 0;
}

// The code point that `text`, which is not empty, begins with. Overlong forms, surrogates and
// values past U+10FFFF are not UTF-8.
CodePoint decode(std::string_view text) {
  const unsigned char lead = byte_at(text, 0);
  const std::size_t length = sequence_length(lead);
  if (length == 0 || length > text.size()) {
    return {0, 0};
  }
  std::uint32_t value = length == 1 ? lead : lead & (0x7FU >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if (!is_continuation(text[i])) {
      return {0, 0};
    }
    value = value << 6U | (byte_at(text, i) & 0x3FU);
  }
  constexpr std::array<std::uint32_t, 5> least = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = value >= 0xD800 && value <= 0xDFFF;
  return value < least[length] || surrogate || value > 0x10FFFF ? CodePoint{0, 0}
                                                                : CodePoint{value, length};
}

// Unicode's controls, and the invisible characters that reorder or hide their neighbours.
bool is_harmful(std::uint32_t c) {
  const auto between = [c](std::uint32_t low, std::uint32_t high) { return c >= low && c <= high; };
  return c < 0x20 || between(0x7F, 0x9F) || c == 0xAD || c == 0x61C || c == 0x180E ||
         between(0x200B, 0x200F) || between(0x2028, 0x202E) || between(0x2060, 0x206F) ||
         c == 0xFEFF || between(0xFFF9, 0xFFFB) || between(0xE0000, 0xE0FFF);
}

std::string escaped(std::uint32_t c) {
  switch (c) {
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    default:
      return c < 0x80 ? fmt::format("\\x{:02x}", c) : fmt::format("\\u{{{:x}}}", c);
  }
}

}  // namespace

std::string terminal_text(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const CodePoint point = decode(text);
    if (point.length == 0) {
      out += fmt::format("\\x{:02x}", byte_at(text, 0));
      text.remove_prefix(1);
      continue;
    }
    if (is_harmful(point.value)) {
      out += escaped(point.value);
    } else {
      out += text.substr(0, point.length);
    }
    text.remove_prefix(point.length);
  }
  return out;
}

std::size_t display_columns(std::string_view text) {
  std::size_t columns = 0;
  for (const char byte : text) {
    if (!is_continuation(byte)) {
      columns += static_cast<unsigned char>(byte) < 0x80 ? 1 : 2;
    }
  }
  return columns;
}

std::string fit_columns(std::string_view text, std::size_t columns) {
  if (display_columns(text) <= columns) {
    return std::string(text);
  }
  while (display_columns(text) + 2 > columns && !text.empty()) {
    text.remove_prefix(1);
    while (!text.empty() && is_continuation(text.front())) {
      text.remove_prefix(1);
    }
  }
  return ".." + std::string(text);
}

}  // namespace imgtool
