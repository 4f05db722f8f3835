// What `capture --used` and `--drop-free` left out, in words and as JSON.
#pragma once

#include <cstdint>
#include <string>

#include "formats/disks/free_space.hpp"
#include "imgtool/terminal/json.hpp"

namespace imgtool {

// Lines for people, escaped: what was left out of the first `size` bytes, and for each file system
// how much, or why nothing and what can be done about it.
[[nodiscard]] std::string unused_space_in_words(const formats::FreeSpace& found,
                                                std::uint64_t size);
// {"free-bytes": N, "file-systems": [...], "discarded": [...]}
[[nodiscard]] Json unused_space_document(const formats::FreeSpace& found, std::uint64_t size);

// What find_discarded() found, the files that are kept, too.
[[nodiscard]] Json discarded_document(const std::vector<formats::DiscardedFile>& files);

}  // namespace imgtool
