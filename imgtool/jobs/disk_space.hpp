// Whether an image will fit on the file system it is written to.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "formats/images/forecast.hpp"
#include "imgtool/jobs/output_plan.hpp"
#include "io/error.hpp"
#include "io/ring.hpp"
#include "io/source.hpp"
#include "io/worker_pool.hpp"

namespace imgtool {

[[nodiscard]] formats::StoredForm stored_form(const OutputPlan& plan);

// Refuses (io::Error) what cannot fit. Cheap unless the worst case does not fit; then samples the
// source, and gives a warning if it may not fit, else "". For new files only.
std::string check_disk_space(io::Ring& ring, io::Source& source, const OutputPlan& plan,
                             io::WorkerPool& workers);

// How far a copy came that found its file system full.
struct Progressed {
  std::uint64_t done = 0;     // bytes of the disk
  std::uint64_t written = 0;  // bytes of the file
  std::optional<std::uint64_t> size;
};
// What to tell instead of `error`, which says ENOSPC: also how much is missing, about.
[[nodiscard]] io::Error no_space_error(const io::Error& error, const std::string& path,
                                       const Progressed& so_far);

}  // namespace imgtool
