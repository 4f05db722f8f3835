// The superblock of btrfs: the roots of its trees, and whether all its features are understood.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/disks/filesystems/btrfs/checksum.hpp"

namespace formats::filesystems::btrfs {

inline constexpr std::uint64_t superblock_offset = std::uint64_t{64} * 1024;
inline constexpr std::size_t superblock_size = 4096;
inline constexpr std::string_view repair =
    "let btrfs check look at it, or make it anew from a backup";

using Uuid = std::array<std::byte, 16>;

// Where a tree begins. Addresses are logical: the chunks say what they are on the device.
struct TreeRoot {
  std::uint64_t address = 0;
  std::uint64_t generation = 0;
  std::uint8_t level = 0;
  std::uint64_t owner = 0;  // the tree's number
  bool shared = false;      // some of its blocks may be other trees': snapshots of each other
};

struct Superblock {
  ChecksumKind checksum = ChecksumKind::crc32c;
  std::uint32_t sector_size = 0;  // bytes; all extents are multiples of it
  std::uint32_t node_size = 0;    // bytes
  std::uint64_t bytes_used = 0;   // logical
  Uuid metadata_uuid{};           // what tree blocks carry

  std::uint64_t devices = 1;
  std::uint64_t device = 0;  // the number of this one
  Uuid device_uuid{};
  std::uint64_t device_size = 0;  // bytes
  std::uint64_t device_used = 0;  // bytes in chunks

  TreeRoot root_tree;
  TreeRoot chunk_tree;
  bool has_group_tree = false;           // block groups stand in a tree of their own
  std::optional<TreeRoot> log_tree;      // what was synced after the last commit
  std::vector<std::byte> system_chunks;  // those that the chunk tree lies in: keys and chunks
};

// `bytes`: superblock_size from superblock_offset on.
[[nodiscard]] bool has_magic(std::span<const std::byte> bytes);
[[nodiscard]] std::string label_of(std::span<const std::byte> bytes);
[[nodiscard]] std::uint64_t claimed_size(std::span<const std::byte> bytes);

// Throws Doubt; `volume` is the size of what holds the file system.
[[nodiscard]] Superblock parse_superblock(std::span<const std::byte> bytes, std::uint64_t volume);

[[nodiscard]] bool equals(std::span<const std::byte> bytes, const Uuid& uuid);

}  // namespace formats::filesystems::btrfs
