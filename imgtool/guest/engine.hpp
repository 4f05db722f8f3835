// Which engine works on the file systems of a disk: their own programs, in a box on this host, or
// in an appliance, which has a kernel that mounts.
#pragma once

#include <string>
#include <vector>

#include "imgtool/guest/box.hpp"
#include "imgtool/guest/shrink_options.hpp"
#include "imgtool/guest/source_disk.hpp"
#include "imgtool/guest/volume_plan.hpp"

namespace imgtool::guest {

struct EngineUse {
  bool direct = false;
  std::string because;  // a clause
};

// As the options ask; by itself it takes the direct one wherever that does all that the appliance
// would do. Tries whether `box` works where it is needed. Throws io::Error, ErrorKind::refused,
// where the direct engine is asked for and cannot do it.
[[nodiscard]] EngineUse choose_engine(const SourceDisk& source,
                                      const std::vector<VolumePlan>& volumes,
                                      const ShrinkOptions& options, Box& box);

// Why this volume wants the appliance: a clause, or "".
[[nodiscard]] std::string obstacle_to_direct(const VolumePlan& volume, bool needs_replay,
                                             const ShrinkOptions& options);

}  // namespace imgtool::guest
