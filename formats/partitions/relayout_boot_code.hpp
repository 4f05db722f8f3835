// Which bytes of a disk boot code finds by their place alone, whatever the tables say. For
// relayout.cpp.
#pragma once

#include <vector>

#include "formats/partitions/layout.hpp"

namespace formats::partitions {

struct BootCode {
  // What GRUB reads by sector numbers before it knows any file system: on the disk, in bytes.
  // Inside the disk, not empty, in no order.
  std::vector<io::ByteRange> addressed;
  // LILO is here: all it reads are sector numbers, in lists of its own.
  bool lilo = false;
};

// Looks at the first sectors of the disk and of its partitions.
[[nodiscard]] BootCode find_boot_code(DiskView& disk, const Layout& layout);

}  // namespace formats::partitions
