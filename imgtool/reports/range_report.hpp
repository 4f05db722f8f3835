// Ranges of a disk, as results list them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "imgtool/terminal/json.hpp"
#include "io/byte_range.hpp"

namespace imgtool {

// [{"start", "length"}, ...], in bytes.
[[nodiscard]] Json ranges_json(const std::vector<io::ByteRange>& ranges);

// What could not be read, in lines of text; empty where that is nothing. `complete_list`: where the
// ranges stand that are too many for a text.
[[nodiscard]] std::string lost_in_words(const std::vector<io::ByteRange>& lost,
                                        std::string_view complete_list);

}  // namespace imgtool
