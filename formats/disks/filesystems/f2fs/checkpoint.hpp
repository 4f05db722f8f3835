// The last checkpoint of f2fs: what all of it looked like when it was unmounted.
//
// Two packs take turns. Each begins and ends with the same block, under a checksum; between them
// lie bitmaps that went on (the payload), orphans, and the summaries of the current segments with
// the journals of NAT and SIT.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "formats/disks/disk_view.hpp"
#include "formats/disks/filesystems/f2fs/superblock.hpp"
#include "io/byte_range.hpp"

namespace formats::filesystems::f2fs {

// The segment that one kind of block goes to next.
struct CurrentSegment {
  std::uint32_t segment = 0;
  std::uint32_t offset = 0;  // of the block in it that is next
};

struct Checkpoint {
  std::uint64_t version = 0;
  std::uint64_t valid_blocks = 0;  // also those that files set aside and that lie nowhere yet
  std::uint32_t valid_nodes = 0;
  std::uint32_t free_segments = 0;
  std::vector<CurrentSegment> current;  // hot, warm and cold nodes, then data

  // Of each block of SIT and NAT, which of the two sets has it: see bit_at().
  std::vector<std::byte> sit_bitmap;
  std::vector<std::byte> nat_bitmap;
  // Journals: entries that are newer than the blocks. Number first, as in a summary block.
  std::vector<std::byte> sit_journal;
  std::vector<std::byte> nat_journal;

  // Bytes of the volume that each next checkpoint, or what is synced before it, changes.
  std::vector<io::ByteRange> witnesses;
};

// Throws Doubt where it is no clean one, and where files were synced after it. Memory: 2 MiB.
[[nodiscard]] Checkpoint read_checkpoint(DiskView& volume, const Geometry& geometry);

}  // namespace formats::filesystems::f2fs
