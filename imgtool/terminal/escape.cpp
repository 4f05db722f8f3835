#include "imgtool/terminal/escape.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

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

// Unicode's controls, the invisible characters that reorder or hide their neighbours, and U+FFFE
// and U+FFFF, which are no characters and stand in no XML document.
bool is_harmful(std::uint32_t c) {
  const auto between = [c](std::uint32_t low, std::uint32_t high) { return c >= low && c <= high; };
  return c < 0x20 || between(0x7F, 0x9F) || c == 0xAD || c == 0x61C || c == 0x180E ||
         between(0x200B, 0x200F) || between(0x2028, 0x202E) || between(0x2060, 0x206F) ||
         c == 0xFEFF || between(0xFFF9, 0xFFFB) || between(0xFFFE, 0xFFFF) ||
         between(0xE0000, 0xE0FFF);
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

struct CodeRange {
  std::uint32_t first;
  std::uint32_t last;
};

bool is_in(std::uint32_t c, std::span<const CodeRange> ranges) {
  return std::any_of(ranges.begin(), ranges.end(),
                     [c](const CodeRange& range) { return c >= range.first && c <= range.last; });
}

// wcwidth() answers by the locale, and knows ASCII alone where none is set up. These are Unicode
// 15's East_Asian_Width W and F, and marks that stand on the letter before them (Mn, Me).
std::size_t columns_of(std::uint32_t c) {
  constexpr auto wide = std::to_array<CodeRange>(
      {{0x1100, 0x115F},   {0x231A, 0x231B},   {0x2329, 0x232A},   {0x23E9, 0x23EC},
       {0x2614, 0x2615},   {0x26A1, 0x26A1},   {0x2705, 0x2705},   {0x274C, 0x274C},
       {0x2E80, 0x303E},   {0x3041, 0x33FF},   {0x3400, 0x4DBF},   {0x4E00, 0xA4CF},
       {0xA960, 0xA97C},   {0xAC00, 0xD7A3},   {0xF900, 0xFAFF},   {0xFE30, 0xFE6F},
       {0xFF00, 0xFF60},   {0xFFE0, 0xFFE6},   {0x16FE0, 0x18CFF}, {0x1AFF0, 0x1B2FF},
       {0x1F300, 0x1F64F}, {0x1F680, 0x1F6FF}, {0x1F900, 0x1FAFF}, {0x20000, 0x3FFFD}});
  constexpr auto marks = std::to_array<CodeRange>({{0x0300, 0x036F},
                                                   {0x0483, 0x0489},
                                                   {0x0591, 0x05BD},
                                                   {0x064B, 0x065F},
                                                   {0x0E34, 0x0E3A},
                                                   {0x0E47, 0x0E4E},
                                                   {0x1AB0, 0x1AFF},
                                                   {0x1DC0, 0x1DFF},
                                                   {0x20D0, 0x20FF},
                                                   {0x302A, 0x302D},
                                                   {0x3099, 0x309A},
                                                   {0xFE00, 0xFE0F},
                                                   {0xFE20, 0xFE2F}});
  if (c < 0x300) return 1;
  if (is_in(c, marks)) return 0;
  return is_in(c, wide) ? 2 : 1;
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
  while (!text.empty()) {
    const CodePoint point = decode(text);
    columns += point.length == 0 ? 1 : columns_of(point.value);
    text.remove_prefix(std::max<std::size_t>(point.length, 1));
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
