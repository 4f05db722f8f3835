// Whether an image will fit on the file system it is written to.
#pragma once

#include <string>

#include "formats/forecast.hpp"
#include "imgtool/image_output.hpp"

namespace imgtool {

[[nodiscard]] formats::StoredForm stored_form(const OutputPlan& plan);

// Refuses (io::Error) what cannot fit. Cheap unless the worst case does not fit; then samples the
// source, and gives a warning if it may not fit, else "". For new files only.
std::string check_free_space(io::Ring& ring, io::Source& source, const OutputPlan& plan,
                             io::WorkerPool& workers);

}  // namespace imgtool
