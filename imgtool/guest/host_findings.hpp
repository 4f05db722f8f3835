// What the host's map of the source decides before the appliance is launched: what must not be
// touched, and what its owner has to put in order first. By values alone: the texts that come with
// them are passed on to people, and decide nothing.
#pragma once

#include "formats/disks/free_space.hpp"
#include "imgtool/guest/shrink_options.hpp"
#include "imgtool/guest/volume_plan.hpp"

namespace imgtool::guest {

// The plan for a piece of the disk that the host has looked into; kept where it must be.
[[nodiscard]] VolumePlan plan_for(const formats::Volume& found);

// Marks what of `volume`, and of all that lies in it, is dropped by a map that was believed.
void mark_believed(VolumePlan& volume, const formats::FreeSpace& space);

// Throws io::Error, ErrorKind::refused, for a hibernated system that is not to be dropped, and for
// file systems that are damaged, in use, or a part of something else, unless they are kept.
// `source`: the image's path, for the messages.
void refuse_unsettled(const formats::FreeSpace& space, const ShrinkOptions& options,
                      const std::string& source);

// Whether what is free in it may be given back to the disk, so that it does not come along.
[[nodiscard]] bool may_be_trimmed(const VolumePlan& volume, const ShrinkOptions& options);

}  // namespace imgtool::guest
