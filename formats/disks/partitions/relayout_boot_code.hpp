// Which bytes of a disk boot code finds by their place alone, whatever the tables and the file
// systems say.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "formats/disks/partitions/layout.hpp"

namespace formats::partitions {

struct BootCode {
  // What GRUB reads by sector numbers before it knows any file system: on the disk, in bytes.
  // Inside the disk, not empty, in no order.
  std::vector<io::ByteRange> addressed;
  // LILO is here: all it reads are sector numbers, in lists of its own.
  bool lilo = false;
  // Where SYSLINUX or EXTLINUX starts from, and reads a file of that file system by sector numbers:
  // the begins of partitions, or of the disk.
  std::vector<std::uint64_t> syslinux;
};

// Looks at the first sectors of the disk and of its partitions.
[[nodiscard]] BootCode find_boot_code(DiskView& disk, const Layout& layout);

// Why the blocks of a file system of this type (as blkid spells it) in this part of the disk have
// to stay where they are, so that it cannot be made smaller: a clause, or "".
[[nodiscard]] std::string why_blocks_stay(const BootCode& code, io::ByteRange place,
                                          std::string_view type);

}  // namespace formats::partitions
