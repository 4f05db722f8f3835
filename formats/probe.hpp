// Which format a file has, by its content.
#pragma once

#include "formats/format.hpp"
#include "io/file.hpp"

namespace formats {

// What is not recognised is raw: any bytes are a raw image. A guest can write a header into its
// raw disk, so do not trust the answer further than the file itself: what the header names is
// opened only by the rules of formats/reference.hpp.
Format probe(const io::File& file);

}  // namespace formats
