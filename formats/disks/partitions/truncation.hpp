// Whether an image ends before its partitions do: a download or a copy that was cut short.
#pragma once

#include <optional>

#include "formats/disks/partitions/layout.hpp"

namespace formats::partitions {

struct Truncation {
  unsigned partition = 0;           // the first that is not whole
  std::uint64_t missing_bytes = 0;  // up to the end of the last partition
  std::uint64_t end = 0;            // of the last partition
};

// `layout` was read from `content`, which has layout.disk_size bytes. A partition may reach behind
// the end by less than a cylinder in the MBR of a hybrid ISO image, which rounds up. A GPT's
// backup that is missing is no truncation as long as all partitions are whole.
[[nodiscard]] std::optional<Truncation> find_truncation(DiskView& content, const Layout& layout);

// Whether `content` is an ISO 9660 image.
[[nodiscard]] bool is_iso(DiskView& content);

}  // namespace formats::partitions
