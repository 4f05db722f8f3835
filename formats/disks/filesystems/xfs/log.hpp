// The log of an XFS: whether all that was written to it has reached its place.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "formats/disks/disk_view.hpp"
#include "formats/disks/filesystems/xfs/log_ring.hpp"
#include "formats/disks/filesystems/xfs/superblock.hpp"
#include "io/byte_range.hpp"

namespace formats::filesystems::xfs {

struct LogState {
  // Not clean: a replay begins at this block of the log, and goes up to its end.
  std::optional<std::uint32_t> replay_from;
  LogEnd end;
  // Frozen (fsfreeze): all is in its place but the superblock, whose counters are in the log.
  bool is_frozen = false;
  // Where the next write to the file system leaves its traces, and the record before it.
  std::vector<io::ByteRange> witnesses;
};

// Throws Doubt for a log that is torn, or that is not understood. Reads a few blocks to find the
// log's end, and at most 4 MiB around it.
[[nodiscard]] LogState read_log(DiskView& volume, const Geometry& geometry);

// Throws the Doubt that a replay is needed, which cannot be done here.
[[noreturn]] void cannot_replay(std::string_view why);

// The same for a log that contradicts itself.
void check_log(bool holds);

}  // namespace formats::filesystems::xfs
