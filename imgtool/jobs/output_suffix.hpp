// What the name of an output says about its format.
#pragma once

#include <string>

#include "formats/images/format.hpp"

namespace imgtool {

// `otherwise` for a name whose suffix says nothing. Refuses (io::Error) a suffix that promises a
// format which is not written: a raw image of that name would be taken for a damaged file.
[[nodiscard]] formats::Format format_by_suffix(const std::string& path, formats::Format otherwise);

}  // namespace imgtool
