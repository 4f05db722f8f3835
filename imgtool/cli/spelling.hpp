// "Did you mean": the known word nearest to a mistyped one.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace imgtool {

// The candidate that takes the fewest edits (insert, delete, replace, swap two neighbours), when
// these are few enough for its length to be a likely slip.
std::optional<std::string> nearest_word(std::string_view word,
                                        const std::vector<std::string>& candidates);

// "; did you mean 'NEAREST'?", or nothing.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace imgtool
