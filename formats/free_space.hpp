// Which bytes of a disk no file system uses: partitions, logical volumes and whole-disk file
// systems, each looked into. All that is not known to be free counts as used: tables, gaps,
// containers that nobody knows, file systems that are damaged or in use.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "formats/filesystems/filesystem.hpp"

namespace formats {

// A piece of the disk that something lies in.
struct Container {
  std::string name;  // "partition 2", "logical volume vg/root", "whole disk"; raw bytes: escape
  // Of the disk. A logical volume's begins where its first byte lies, and may have gaps.
  io::ByteRange range;
  filesystems::FileSystem file_system;
  // In use by nobody, ascending, in bytes of the disk. What an LVM volume group's member has here
  // is space in no logical volume; the volumes are containers of their own.
  std::vector<io::ByteRange> free;
};

struct FreeSpace {
  std::vector<Container> containers;
  std::vector<io::ByteRange> free;       // of all containers: ascending, disjoint, not touching
  std::vector<io::ByteRange> witnesses;  // see FileSystem; in bytes of the disk
};

// A part of the disk that is in use right now, so that its map would not stay true.
struct InUse {
  io::ByteRange range;
  std::string because;
  std::string remedy;
};

struct FreeSpaceOptions {
  std::vector<InUse> in_use{};
  // What the disk is known to have, in bytes: an MBR counts in sectors.
  std::optional<std::uint64_t> sector_size{};
  // A hibernated system on it will never go on, so what it had mounted is as after a crash.
  bool hibernated_never_resumes = false;
};

// Reads metadata only. `disk` shows a whole disk. Throws nothing for what the disk holds or for
// what cannot be read of it: then that is kept.
[[nodiscard]] FreeSpace find_free_space(DiskView& disk, const FreeSpaceOptions& options = {});

}  // namespace formats
