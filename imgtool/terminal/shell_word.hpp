// Quoting for commands that are run by a shell, or shown to be typed into one.
#pragma once

#include <string>
#include <string_view>

namespace imgtool {

// `text` as one word of a POSIX shell: as it is where that is safe, else quoted.
[[nodiscard]] std::string shell_word(std::string_view text);

}  // namespace imgtool
