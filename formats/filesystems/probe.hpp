// What a container holds, by asking the parsers of all file systems. Each of them is asked, since
// what one finds may be left over from before, or be a part of what another knows.
#pragma once

#include "formats/filesystems/filesystem.hpp"

namespace formats::filesystems {

// Where the container lies, as far as it matters to what is in it.
struct Surroundings {
  // Nothing but the partition table's copy follows. A file system made on a disk that was a
  // little longer then may reach past the end of such a container by less than 1 MiB.
  bool last_on_disk = false;
};

// Never throws for what the container holds or for what cannot be read of it: then all is kept.
// `type` is empty when nobody knows the content. All free ranges lie inside the container, are
// ascending and disjoint, and hold none of the witnesses.
[[nodiscard]] FileSystem probe(DiskView& container, const Surroundings& around);

// The same, by these parsers alone.
[[nodiscard]] FileSystem probe(DiskView& container, const Surroundings& around,
                               std::span<const Prober> probers);

}  // namespace formats::filesystems
