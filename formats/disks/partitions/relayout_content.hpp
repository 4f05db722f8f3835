// What inside a partition knows where the partition lies, or how long it is. For relayout.cpp.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "formats/disks/partitions/relayout.hpp"

namespace formats::partitions {

// For a partition that moves: the boot sectors of FAT and NTFS, which tell how many sectors of the
// disk are before them (Windows does not boot from an NTFS where that is wrong), and their second
// copies. Sectors of 512 bytes, by their places on the new disk.
[[nodiscard]] std::vector<io::Patch> moved_boot_sectors(DiskView& disk, const Placement& placement,
                                                        bool logical, std::uint64_t sector_size);

// The first page of the swap area in `old`, right for one of `length` bytes: the same UUID and
// label, bad pages as far as it goes. By its place in the area. Nothing, and `problem` says why,
// for what is no swap area or must not be emptied.
[[nodiscard]] std::optional<io::Patch> swap_header(DiskView& disk, io::ByteRange old,
                                                   std::uint64_t length, std::string& problem);

}  // namespace formats::partitions
