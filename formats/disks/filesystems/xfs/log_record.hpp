// A record of an XFS log: a header, and the operations that reached the log together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "formats/disks/filesystems/xfs/log_ring.hpp"
#include "formats/disks/filesystems/xfs/superblock.hpp"

namespace formats::filesystems::xfs {

struct LogRecord {
  std::uint32_t block = 0;   // of its header
  std::uint32_t blocks = 0;  // of all of it
  std::uint32_t cycle = 0;
  std::uint32_t tail_cycle = 0;  // from where on recovery would start
  std::uint32_t tail_block = 0;
  std::uint32_t operations = 0;
  bool is_little_endian = false;   // the machine that wrote it, and so its items
  std::vector<std::byte> content;  // the operations, as they were before they went to the log
};

// The record whose header is at `block`. Throws Doubt for one that is damaged, or that is not of
// this file system.
[[nodiscard]] LogRecord read_record(LogRing& ring, std::uint32_t block, const Geometry& geometry);

// Whether the record says that the file system was unmounted, and nothing else.
[[nodiscard]] bool is_unmount(const LogRecord& record);

// Whether recovery of the record would write to nothing but the superblock. No: also where this
// cannot be told.
[[nodiscard]] bool changes_superblock_only(const LogRecord& record);

}  // namespace formats::filesystems::xfs
