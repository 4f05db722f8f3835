// Where the clusters of an attribute lie.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "formats/disks/filesystems/ntfs/boot_sector.hpp"
#include "formats/disks/filesystems/ntfs/record.hpp"

namespace formats::filesystems::ntfs {

struct Run {
  std::optional<std::uint64_t> first;  // a cluster of the volume; nothing in a hole
  std::uint64_t count = 0;             // never 0

  friend bool operator==(const Run&, const Run&) = default;
};

// The list in `attribute`, which is not resident. All clusters exist, and there are as many as the
// attribute says. Throws Doubt otherwise; `record` is for its text.
[[nodiscard]] std::vector<Run> decode_runs(const Attribute& attribute, const Geometry& geometry,
                                           std::uint64_t record);

}  // namespace formats::filesystems::ntfs
