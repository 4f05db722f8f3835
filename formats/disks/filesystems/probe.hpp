// What a volume holds, by asking the parsers of all file systems. Each of them is asked, since
// what one finds may be left over from before, or be a part of what another knows.
#pragma once

#include "formats/disks/filesystems/filesystem.hpp"

namespace formats::filesystems {

// Where the volume lies, as far as it matters to what is in it.
struct Surroundings {
  // Nothing but the partition table's copy follows. A file system made on a disk that was a
  // little longer then may reach past the end of such a volume by less than 1 MiB.
  bool last_on_disk = false;
  MapCheck map_check = MapCheck::with_files;
};

// Never throws for what the volume holds or for what cannot be read of it: then all is kept.
// `type` is empty when no parser knows it. All free ranges lie inside the volume, are
// ascending and disjoint, and hold none of the witnesses.
[[nodiscard]] FileSystem probe(DiskView& volume, const Surroundings& around);

// The same, by these parsers alone.
[[nodiscard]] FileSystem probe(DiskView& volume, const Surroundings& around,
                               std::span<const Prober> probers);

// What to do about two claims to the same bytes: both may be in use (a RAID's member that is
// partitioned inside), so that nothing is to be erased on a guess.
inline constexpr const char* which_is_in_use = "find out which of them is in use";

}  // namespace formats::filesystems
