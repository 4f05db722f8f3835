// Which bytes of a disk no file system uses: partitions, logical volumes and whole-disk file
// systems, each looked into. All that is not known to be free counts as used: tables, gaps,
// volumes of an unknown kind, file systems that are damaged or in use.
//
// Memory: what the parsers need one after the other, and all free ranges three times: 8 Mi of them
// at most, 384 MiB. A disk inside of a volume is looked into like any other, four of them in each
// other, 1024 volumes in all; of thin pools and volumes one at a time (see lvm/thin_pool.hpp).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "formats/disks/discarded.hpp"
#include "formats/disks/partitions/layout.hpp"
#include "formats/disks/volume.hpp"

namespace formats {

struct FreeSpace {
  partitions::Layout layout;
  std::vector<Volume> volumes;
  std::vector<io::ByteRange> free;       // of all volumes: ascending, disjoint, not touching
  std::vector<io::ByteRange> witnesses;  // of all volumes, likewise
  std::vector<DiscardedFile> discarded;  // what FreeSpaceOptions::discarded asks for

  // Null: there is none.
  [[nodiscard]] const Volume* find(const VolumeId& id) const;
};

// A part of the disk that is in use right now, so that its map would not stay true.
struct InUse {
  io::ByteRange range;
  std::string because;
  std::string remedy;
};

// What operating systems throw away when they start (discarded.hpp).
enum class DiscardedContent : std::uint8_t {
  kept,    // and not looked for
  listed,  // told of, and not called free
  free,    // the same as what no file has
};

struct FreeSpaceOptions {
  std::vector<InUse> in_use{};
  // What the disk is known to have, in bytes: an MBR counts in sectors.
  std::optional<std::uint64_t> sector_size{};
  // A hibernated system on it will never go on, so what it had mounted is as after a crash.
  bool hibernated_never_resumes = false;
  // Maps of free space are believed where each file could be asked whether it agrees, too.
  bool trust_maps = false;
  // A partition table in a partition or logical volume is read as a disk of its own; else what
  // holds it is kept whole, since it is no file system.
  bool look_inside = true;
  // Thin pools of LVM are looked into, and the thin volumes in them; else they are kept whole.
  bool thin_pools = true;
  // What changes with any use of what is found is asked for alone: `free` may be empty, volumes
  // that a look at the maps would keep are not. Costs little of such a look.
  bool witnesses_only = false;
  DiscardedContent discarded = DiscardedContent::kept;
};

// Reads metadata only. `disk` shows a whole disk. Throws nothing for what the disk holds or for
// what cannot be read of it: then that is kept.
[[nodiscard]] FreeSpace find_free_space(DiskView& disk, const FreeSpaceOptions& options = {});

}  // namespace formats
