// What the clusters of a qcow2 file are there for: the disk as it is now, snapshots, or nothing.
#pragma once

#include "formats/images/qcow2/header.hpp"
#include "io/file.hpp"

namespace formats::qcow2 {

struct Usage {
  std::uint64_t compressed_bytes = 0;  // what compressed clusters of the disk as it is now take
  std::uint64_t snapshot_bytes = 0;    // whole clusters that only snapshots need
  std::uint64_t missing_bytes = 0;     // of the disk, in clusters past the end of the file
};

// Walks the tables of the disk as it is now and of all snapshots. Takes two bits a cluster of the
// file. Throws Error where a table is damaged.
[[nodiscard]] Usage read_usage(const io::File& file);

}  // namespace formats::qcow2
