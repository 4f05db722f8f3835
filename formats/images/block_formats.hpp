// The formats that are a map of blocks over one file: what each of them can be asked.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "formats/images/block_check.hpp"
#include "formats/images/block_facts.hpp"
#include "formats/images/block_map.hpp"
#include "formats/images/format.hpp"
#include "formats/images/parent.hpp"
#include "io/file.hpp"

namespace formats {

[[nodiscard]] bool is_block_format(Format format);

// Reads headers only. `format` is one of these. Throws Error.
[[nodiscard]] BlockFacts read_block_facts(const io::File& file, Format format);

// Looks at headers and at all tables. Throws Error where so much is damaged that nothing else can
// be looked at.
void check_block_image(const io::File& file, Format format, BlockCheck& check);

// Checks headers and the table that all content hangs on. `file` outlives the map and keeps its
// place in memory. Throws Error; ErrorKind::refused where the content is not in this file alone.
[[nodiscard]] std::unique_ptr<BlockMap> open_block_map(const io::File& file, Format format);

// What `file` lies over; nothing: it holds all of its disk. Throws Error.
[[nodiscard]] std::optional<ParentReference> parent_of(const io::File& file, Format format);
// By what those that lie over `file` know that it is still what they were made over; empty where
// the format has no such thing. Throws Error.
[[nodiscard]] std::string identity_of(const io::File& file, Format format);

}  // namespace formats
