// How far a disk is in use, for commands that make it, or its image, end earlier.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "formats/disks/disk_view.hpp"
#include "formats/disks/partitions/layout.hpp"

namespace formats {

struct EndOfUse {
  std::uint64_t bytes = 0;  // a disk of this size still holds everything that is known
  std::string because;      // "partition 3 ends there"
};

// On a partitioned disk: behind the last partition, and the backup of a GPT. On one that is a file
// system as a whole: behind that. All of the disk where the table or the superblock cannot be
// relied on: the table is damaged, the disk is a member of something as well, its file system has
// parts that are not understood. On any other: behind the last byte that is stored as data.
// `layout` is the disk's own.
[[nodiscard]] EndOfUse end_of_use(DiskView& disk, const partitions::Layout& layout);

// Blocks of 4 KiB behind some place of the disk that are not zeros.
struct Remains {
  std::uint64_t bytes = 0;  // in all blocks
  io::ByteRange range;      // from the first to the last of them
};

// How much is read. Superblocks, hash trees and databases that lie behind what a table knows begin
// right there, or end with the disk.
enum class Reach : std::uint8_t {
  all,        // everything
  both_ends,  // the first MiB and the last 4 MiB
};

// What the disk would lose that is in no partition, if it ended at `at`. Backups of a GPT do not
// count: they are made anew for a disk of another size. `layout` is the disk's own. Throws the
// source's errors.
[[nodiscard]] Remains remains_behind(DiskView& disk, const partitions::Layout& layout,
                                     std::uint64_t at, Reach reach);

}  // namespace formats
