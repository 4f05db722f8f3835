// What lies in a volume (a partition, a logical volume, a whole disk), and which of its bytes are
// in use by no file. A parser starts from "all of it is used" and takes ranges away only after
// every one of its checks has passed; what it doubts is kept whole, with the reason.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "formats/disks/disk_view.hpp"
#include "formats/disks/filesystems/reason.hpp"
#include "formats/disks/lvm/logical_volume.hpp"
#include "io/byte_range.hpp"

namespace formats::filesystems {

// What is called free is compared with what each file says it uses, which costs a look at every
// inode, or it is believed. FAT, exFAT and NTFS, which have no checksums, are compared always. Or
// only the witnesses are asked for: then `free` may stay empty, and more doubts than those that
// show without a look at the map are not found.
enum class MapCheck : std::uint8_t { with_files, believed, witnesses_only };

struct FileSystem {
  std::string type;              // as blkid spells it: "ext4", "ntfs", "swap", "crypto_LUKS"
  std::string label;             // raw bytes from the disk: escape before printing
  std::string uuid;              // as blkid prints it, or empty
  std::uint64_t size = 0;        // bytes that it claims, from the volume's begin on
  std::uint64_t block_size = 0;  // its allocation unit, in bytes; 0 when it has none

  // In use by no file: ascending, disjoint, not empty, in bytes from the volume's begin on.
  std::vector<io::ByteRange> free;

  // `free` is what its own map says, and its files were not asked: MapCheck::believed.
  bool map_is_believed = false;

  // XFS and btrfs: `free` is as it will be when a mount has replayed the log, which it still has
  // to.
  bool waits_for_replay = false;

  // More than `free` is free, and only its own kernel, with all devices, can tell what: btrfs on
  // several ones.
  bool knows_only_part = false;

  // Why nothing is free, as a value and as a clause for people, and what they can do about it.
  Reason reason = Reason::none;
  std::string kept_because;
  std::string remedy;

  // It is, or carries, hashes over blocks of this disk, the free ones too.
  bool holds_hashes = false;

  // What the user should know although `free` is exact; mostly empty.
  std::string warning;

  // In an LVM physical volume that is not kept whole: the ones that users see.
  std::vector<LogicalVolume> volumes;

  // Bytes of the volume that change whenever the file system is written to. Read again after
  // a live disk was captured: the same bytes mean that the map was true all the time.
  std::vector<io::ByteRange> witnesses;

  [[nodiscard]] bool kept_whole() const noexcept { return reason != Reason::none; }
  // Nothing of it is free any more; what it is called stays. `why` is not Reason::none.
  void keep(Reason why, std::string because, std::string what_to_do = "");
};

// Looks for one kind of file system. Nothing: this is not one. Damage, doubt and everything that
// is not understood is a FileSystem that is kept whole; errors of the source are thrown.
using Prober = std::optional<FileSystem> (*)(DiskView& volume, MapCheck check);

// For the probers: all of `size` bytes kept.
[[nodiscard]] FileSystem keep_whole(std::string type, std::uint64_t size, Reason reason,
                                    std::string because, std::string remedy = "");

}  // namespace formats::filesystems
