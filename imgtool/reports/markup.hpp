// Text from disks, as it may stand in HTML and SVG.
#pragma once

#include <string>
#include <string_view>

namespace imgtool {

// In elements and in quoted attributes; escaped for a terminal first, so that nothing is hidden.
[[nodiscard]] std::string harmless_markup(std::string_view text);

}  // namespace imgtool
