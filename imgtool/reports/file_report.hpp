// Files of an image as people and programs read them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/disks/filesystems/files.hpp"
#include "formats/disks/volume.hpp"
#include "imgtool/terminal/json.hpp"

namespace imgtool {

// "file", "folder", "link", "character device" ...
[[nodiscard]] std::string_view word_of(formats::filesystems::NodeKind kind);

// One line of a listing, as ls -l has it, with its newline. `link`: what a link says, else empty.
// Names are escaped here.
[[nodiscard]] std::string line_of(const formats::filesystems::Node& node, std::string_view name,
                                  std::string_view link);
[[nodiscard]] Json json_of(const formats::filesystems::Node& node, std::string_view name,
                           std::string_view link);

// The file systems that `ls IMAGE` lists.
[[nodiscard]] std::string parts_in_words(const std::vector<formats::Volume>& volumes,
                                         std::optional<std::size_t> width);
[[nodiscard]] Json parts_document(const std::vector<formats::Volume>& volumes);

}  // namespace imgtool
