// The log of an XFS: whether all that was written to it has reached its place.
#pragma once

#include <vector>

#include "formats/disk_view.hpp"
#include "formats/filesystems/xfs/superblock.hpp"
#include "io/byte_range.hpp"

namespace formats::filesystems::xfs {

struct LogState {
  // Frozen (fsfreeze): all is in its place but the superblock, whose counters are in the log.
  bool is_frozen = false;
  // Where the next write to the file system leaves its traces, and the record before it.
  std::vector<io::ByteRange> witnesses;
};

// Throws Doubt for a log that is not clean, or that is not understood. Reads a few blocks to find
// the log's end, and at most 4 MiB around it.
[[nodiscard]] LogState read_log(DiskView& container, const Geometry& geometry);

}  // namespace formats::filesystems::xfs
