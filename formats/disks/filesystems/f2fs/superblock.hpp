// The superblock of f2fs: where its areas lie, and whether all its features are understood.
//
// All areas but the main one (checkpoints, SIT: segments, NAT: nodes, SSA: summaries) count as in
// use. The main area is made of segments of 512 blocks. See include/linux/f2fs_fs.h of Linux, and
// "f2fs" in its documentation of file systems.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "formats/disks/disk_view.hpp"

namespace formats::filesystems::f2fs {

inline constexpr std::uint64_t superblock_offset = 1024;  // of each of the first two blocks
inline constexpr std::size_t superblock_size = 3072;
inline constexpr std::uint32_t segment_blocks = 512;
inline constexpr std::uint32_t block_size = 4096;  // bytes; as large as a page of its kernel

// Checked: the areas follow each other, and the file system lies inside the volume. Addresses are
// counted in blocks from the volume's begin on.
struct Geometry {
  std::uint64_t blocks = 0;
  std::uint32_t checkpoints = 0;  // address of the first of two packs, a segment each at least
  std::uint32_t checkpoint_payload = 0;  // blocks that follow the first one of a pack
  std::uint32_t sit = 0;                 // address
  std::uint32_t sit_blocks = 0;          // of one of its two sets
  std::uint32_t nat = 0;                 // address
  std::uint32_t nat_blocks = 0;          // of one of its two sets
  std::uint32_t main = 0;                // address
  std::uint32_t segments = 0;            // of the main area
  std::uint32_t node_inode = 0;          // two that stand for areas, and are no files
  std::uint32_t meta_inode = 0;
  bool is_read_only = false;
  bool has_inode_checksums = false;
  bool has_flexible_attributes = false;  // inodes say how long their inline attributes are
  std::array<std::byte, 16> uuid{};

  [[nodiscard]] std::uint64_t size() const { return blocks * block_size; }
  [[nodiscard]] std::uint64_t main_blocks() const {
    return std::uint64_t{segments} * segment_blocks;
  }
  friend bool operator==(const Geometry&, const Geometry&) = default;
};

// `superblock`: superblock_size bytes.
[[nodiscard]] bool has_magic(std::span<const std::byte> superblock);
[[nodiscard]] std::string label_of(std::span<const std::byte> superblock);
[[nodiscard]] std::string uuid_of(std::span<const std::byte> superblock);

// What the superblock claims, before any check, in bytes; 0 for nonsense.
[[nodiscard]] std::uint64_t claimed_size(std::span<const std::byte> superblock);

// Reads both copies, which have to agree. Throws Doubt.
[[nodiscard]] Geometry read_geometry(DiskView& volume);

}  // namespace formats::filesystems::f2fs
