// What is recognised by its signature and not looked into: encrypted volumes, members of RAIDs and
// pools, partition tables and file systems without a parser. All of it is kept, and so is
// everything that such a signature is found beside: it may be what the rest is a part of. Memory
// and time: a few KiB at fixed places, whatever they hold.
#pragma once

#include "formats/disks/filesystems/filesystem.hpp"

namespace formats::filesystems {

// Always kept whole. Several signatures give one answer that names them all.
[[nodiscard]] std::optional<FileSystem> probe_opaque(DiskView& volume,
                                                     MapCheck check = MapCheck::with_files);

// Whether a file system that ends at `from` has dm-verity's hashes behind it in the same volume: a
// superblock of them, or Android's. Looks at the 64 MiB behind it; without a superblock, and
// further away, they cannot be told from other content.
[[nodiscard]] bool has_hashes_behind(DiskView& volume, std::uint64_t from);

}  // namespace formats::filesystems
