// Names come from disks, images and other people: made harmless before a terminal sees them.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace imgtool {

// `text` as one line of valid UTF-8 that can neither move the cursor, nor start an escape
// sequence, nor reorder or hide characters. What could becomes "\n", "\x1b" (a byte) or
// "\u{202e}" (a code point). Escaping twice changes nothing.
std::string terminal_text(std::string_view text);

// Columns that terminal_text()'s result takes, never too few: what is not ASCII counts as 2.
std::size_t display_columns(std::string_view text);

// `text` cut to at most `columns`, its beginning replaced by ".." when cut: the end of a path
// says more than its beginning. Needs columns >= 2.
std::string fit_columns(std::string_view text, std::size_t columns);

// Whether `byte`, of UTF-8, is not the first one of its character.
constexpr bool is_continuation(char byte) {
  return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80;
}

}  // namespace imgtool
