// The superblock of XFS: where everything lies, and whether all its features are understood.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "formats/disks/disk_view.hpp"

namespace formats::filesystems::xfs {

inline constexpr std::string_view repair = "repair it (xfs_repair)";

using Uuid = std::array<std::byte, 16>;

// Checked: allocation groups (AGs) cover the file system, which lies inside the volume, and the
// log lies inside one of them.
struct Geometry {
  bool is_v5 = false;
  bool has_rmapbt = false;
  bool has_refcountbt = false;
  bool counts_lazily = false;  // free_blocks is the sum of what all AGs count
  bool has_log_v2 = false;
  bool has_sparse_inodes = false;  // chunks of inodes may have gaps

  std::uint32_t block_size = 0;   // bytes
  std::uint32_t sector_size = 0;  // bytes
  std::uint64_t blocks = 0;
  std::uint32_t ag_blocks = 0;  // of every AG but the last, which may be shorter
  std::uint32_t ag_count = 0;
  std::uint64_t free_blocks = 0;
  std::uint64_t log_block = 0;  // counted from the file system's first block
  std::uint32_t log_blocks = 0;
  std::uint32_t inode_size = 0;  // bytes
  unsigned ag_block_bits = 0;    // of a block's number in its AG; the AG's number is above them
  std::uint64_t root_block = 0;  // holds the root directory's inode
  std::uint64_t root_inode = 0;
  std::uint32_t directory_block_size = 0;  // bytes, at most 64 KiB; a multiple of block_size
  bool has_file_types = false;             // in the entries of directories
  Uuid uuid{};
  Uuid metadata_uuid{};  // what blocks carry; another one once the user gave a new uuid

  [[nodiscard]] std::uint64_t size() const { return blocks * block_size; }
  [[nodiscard]] std::uint64_t first_block(std::uint32_t ag) const {
    return std::uint64_t{ag} * ag_blocks;
  }
  [[nodiscard]] std::uint32_t length(std::uint32_t ag) const {
    return static_cast<std::uint32_t>(std::min<std::uint64_t>(ag_blocks, blocks - first_block(ag)));
  }
  friend bool operator==(const Geometry&, const Geometry&) = default;
};

// Whether a volume that begins with `sector` (at least 512 bytes) holds XFS.
[[nodiscard]] bool has_magic(std::span<const std::byte> sector);

// Raw bytes, without padding.
[[nodiscard]] std::string label_of(std::span<const std::byte> sector);

// What the superblock claims, before any check.
[[nodiscard]] std::uint64_t claimed_size(std::span<const std::byte> sector);

// Throws Doubt.
[[nodiscard]] Geometry read_geometry(DiskView& volume);

// Whether the checksum at `field` of a block is right: over all of it, the field taken as zero.
[[nodiscard]] bool has_right_checksum(std::span<const std::byte> block, std::size_t field);

[[nodiscard]] bool equals(std::span<const std::byte> bytes, const Uuid& uuid);

}  // namespace formats::filesystems::xfs
