// Kinds that probe_opaque() recognises by more than bytes at a place of their own.
#pragma once

#include <set>
#include <string_view>

#include "formats/disks/disk_view.hpp"

namespace formats::filesystems {

using OpaqueTypes = std::set<std::string_view>;

inline constexpr std::string_view firmware_raid = "firmware_raid_member";
inline constexpr std::string_view linux_raid = "linux_raid_member";

[[nodiscard]] bool has_bytes(DiskView& volume, std::uint64_t offset, std::string_view magic);

// Members of RAIDs and pools whose metadata lie at the volume's end, or at both.
void find_members(DiskView& volume, OpaqueTypes& types);

// Partition tables without a parser: Sun, SGI, BSD, Solaris, Apple, Atari, DASD. What lies in
// their partitions is not known, and may be newer than a superblock in the same place.
void find_foreign_tables(DiskView& volume, OpaqueTypes& types);

}  // namespace formats::filesystems
