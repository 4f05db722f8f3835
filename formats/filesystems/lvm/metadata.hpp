// Where a physical volume of LVM2 keeps its label and its copy of the volume group's metadata.
#pragma once

#include <string>
#include <vector>

#include "formats/disk_view.hpp"
#include "formats/filesystems/lvm/config.hpp"

namespace formats::filesystems::lvm {

struct Metadata {
  std::string pv_id;  // 32 characters without dashes
  Section text;       // the newest copy; every copy is whole
  std::vector<io::ByteRange> witnesses;
};

// Whether there is a label at all.
[[nodiscard]] bool has_label(DiskView& container);
// Throws Doubt.
[[nodiscard]] Metadata read_metadata(DiskView& container);

}  // namespace formats::filesystems::lvm
