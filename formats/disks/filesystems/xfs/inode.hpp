// An inode of XFS: what it holds, and where its two forks lie in it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "formats/disks/filesystems/xfs/superblock.hpp"

namespace formats::filesystems::xfs {

enum class ForkFormat : std::uint8_t { device = 0, local = 1, extents = 2, btree = 3 };

// The map of a file's data or of its attributes.
struct Fork {
  ForkFormat format = ForkFormat::local;
  std::span<const std::byte> bytes;
  std::uint64_t extents = 0;
};

struct Inode {
  std::uint64_t number = 0;
  Fork data;
  std::optional<Fork> attributes;
};

// Whether the bytes hold an inode that is in use, whatever the tree of inodes says of it.
[[nodiscard]] bool is_in_use(std::span<const std::byte> bytes);

// Parses the inode `number`, which is in use. `bytes`: inode_size of them, which outlive the
// result. Throws Doubt.
[[nodiscard]] Inode parse_inode(std::span<const std::byte> bytes, std::uint64_t number,
                                const Geometry& geometry);

inline constexpr std::uint16_t inode_magic = 0x494e;  // "IN"
inline constexpr std::size_t inode_core_v2 = 100;     // bytes in front of its forks
inline constexpr std::size_t inode_core_v3 = 176;
// Where its checksum lies, in those that have one.
inline constexpr std::size_t inode_checksum = 100;

}  // namespace formats::filesystems::xfs
