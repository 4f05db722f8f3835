// What `convert` and `compress` say when they are done.
#pragma once

#include "imgtool/jobs/convert_job.hpp"

namespace imgtool {

// Prints what was made, as text or as one JSON document. Gives the exit code.
int report_conversion(const ConvertJob& job, double seconds, bool json);

}  // namespace imgtool
