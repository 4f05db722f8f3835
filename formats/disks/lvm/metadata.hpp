// Where a physical volume of LVM2 keeps its label and its copy of the volume group's metadata.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "formats/disks/disk_view.hpp"
#include "formats/disks/lvm/config.hpp"

namespace formats::filesystems::lvm {

// Not to be copied or moved: see `top`.
struct Metadata {
  Metadata() = default;
  Metadata(const Metadata&) = delete;
  Metadata& operator=(const Metadata&) = delete;

  std::string pv_id;  // 32 characters without dashes
  std::string text;   // the newest copy; every copy is whole
  Section top;        // of that text, in which its names and values lie
  std::vector<io::ByteRange> witnesses;
};

// Whether there is a label at all.
[[nodiscard]] bool has_label(DiskView& view);
// Throws Doubt, also for a text of more than 16 MiB: 10,000 volumes have 8 MiB.
[[nodiscard]] std::unique_ptr<Metadata> read_metadata(DiskView& view);

}  // namespace formats::filesystems::lvm
