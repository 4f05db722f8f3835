// Swap files, known by their first page.
#pragma once

#include "formats/disks/file_survey.hpp"
#include "imgtool/jobs/inner_files.hpp"

namespace imgtool {

// For a survey of these files, which outlive it: whether a file begins as swap space does.
[[nodiscard]] formats::SwapFileTest swap_file_test(InnerFileSystem& files);

}  // namespace imgtool
