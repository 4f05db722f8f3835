// What `capture` says when it is done.
#pragma once

#include "imgtool/jobs/capture_job.hpp"

namespace imgtool {

// Prints what was captured, as text or as one JSON document, and gives the exit code.
int report_capture(const CaptureJob& job, const CaptureOptions& options, double seconds, bool json);

}  // namespace imgtool
