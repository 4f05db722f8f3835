// How far a disk is in use, for whoever wants to make it smaller.
#pragma once

#include <cstdint>
#include <string>

#include "formats/disk_view.hpp"

namespace formats::partitions {

struct EndOfUse {
  std::uint64_t bytes = 0;  // a disk of this size still holds everything
  std::string because;      // "partition 3 ends there"
};

// Of a partitioned disk: behind the last partition, and the backup of a GPT. Of one that is a file
// system as a whole: behind that. Of any other: behind the last byte that is stored as data, since
// nobody knows what it is.
[[nodiscard]] EndOfUse end_of_use(DiskView& disk);

}  // namespace formats::partitions
