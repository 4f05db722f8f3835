// A piece of the disk that something lies in: the disk as a whole, a partition, a logical volume.
// ("Container" is a file that holds an image of a disk.)
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "formats/disks/filesystems/filesystem.hpp"
#include "io/byte_range.hpp"

namespace formats {

enum class VolumeKind : std::uint8_t { whole_disk, partition, logical_volume };

// Which one is meant. Programs compare these; name_of() is for people.
struct VolumeId {
  VolumeKind kind = VolumeKind::whole_disk;
  unsigned partition = 0;      // the one that it is or lies in; 0: in none
  std::string logical_volume;  // "vg/root"; raw bytes from the disk
  // With a partition table inside a partition or logical volume: the volumes that this one lies
  // in, the outermost first. All else then tells of the disk that is the last of these.
  std::vector<VolumeId> within{};

  bool operator==(const VolumeId&) const = default;

  // Its bytes follow each other on the disk.
  [[nodiscard]] bool in_one_piece() const;

  [[nodiscard]] static VolumeId disk() { return {}; }
  [[nodiscard]] static VolumeId of_partition(unsigned number) {
    return {VolumeKind::partition, number, "", {}};
  }
};

// "partition 2", "logical volume vg/root", "whole disk", "partition 1 in partition 2"; raw bytes:
// escape before printing.
[[nodiscard]] std::string name_of(const VolumeId& id);

struct Volume {
  VolumeId id;
  // On the disk. A logical volume's begins where its first byte lies, and may have gaps.
  io::ByteRange range;
  filesystems::FileSystem file_system;
  // Hashes on this disk cover its blocks, the free ones too, whatever `file_system.reason` is: two
  // things may be true at once, and nothing may be dropped from it, moved or written to in it.
  bool hashed = false;
  // So many bytes of it lie nowhere on the disk, and read as zeros: of a thin volume.
  std::uint64_t unmapped = 0;
  // In use by no file, ascending, in bytes of the disk. What an LVM physical volume has here is
  // space in no logical volume; those are volumes of their own.
  std::vector<io::ByteRange> free{};
  // See FileSystem; in bytes of the disk.
  std::vector<io::ByteRange> witnesses{};

  [[nodiscard]] std::string name() const { return name_of(id); }
  // Nothing of it is free any more, and nothing has to stay as it is for that to be true.
  void keep(filesystems::Reason why, std::string because, std::string remedy = "");
};

}  // namespace formats
