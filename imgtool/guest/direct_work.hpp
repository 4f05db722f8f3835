// What the direct engine works on: the whole disk with a scratch file over it, of which each
// partition is shown to the programs that work on it.
#pragma once

#include <string>
#include <vector>

#include "formats/disks/partitions/layout.hpp"
#include "imgtool/guest/direct_shell.hpp"
#include "imgtool/guest/volume_plan.hpp"
#include "io/file.hpp"
#include "io/scratch_overlay.hpp"

namespace imgtool::guest {

// Where the partition lies, or all of the disk where there are none.
[[nodiscard]] io::ByteRange range_of(const formats::partitions::Layout& layout, unsigned partition,
                                     std::uint64_t disk_size);

class DirectWork {
 public:
  // `disk` is seekable and only read. `scratch` is a file to be made. All outlive it.
  DirectWork(io::Ring& ring, io::Source& disk, const std::string& scratch, Box& box);

  // In the order of the plan; `layout` is the disk's.
  void show(const std::vector<VolumePlan>& volumes, const formats::partitions::Layout& layout);

  [[nodiscard]] Shell& shell() noexcept { return shell_; }
  // The disk as it is now.
  [[nodiscard]] io::Source& disk() noexcept { return overlay_; }
  [[nodiscard]] std::uint64_t granule() const noexcept { return overlay_.granule(); }

 private:
  io::File file_;
  io::ScratchOverlay overlay_;
  DirectShell shell_;
};

}  // namespace imgtool::guest
