// The B+trees of an XFS allocation group (AG): records in ascending order, blocks numbered in the
// AG. Each kind of tree differs in its magic number and in the sizes of its records.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "formats/disks/disk_view.hpp"
#include "formats/disks/filesystems/xfs/superblock.hpp"

namespace formats::filesystems::xfs {

struct AgTreeKind {
  std::string_view name;      // "free space by place"
  std::uint32_t magic_v4;     // without checksums
  std::uint32_t magic_v5;     // with them
  std::uint32_t record_size;  // bytes
  std::uint32_t key_size;     // bytes
  // How much of a key is the same as the begin of the first record below it.
  std::uint32_t key_matches;
};

inline constexpr AgTreeKind bnobt{"free space by place", 0x41425442, 0x41423342, 8, 8, 4};
inline constexpr AgTreeKind cntbt{"free space by size", 0x41425443, 0x41423343, 8, 8, 8};
inline constexpr AgTreeKind inobt{"inodes", 0x49414254, 0x49414233, 16, 4, 4};

class AgTree {
 public:
  using Visitor = std::function<void(std::span<const std::byte> record)>;

  // Both outlive the tree.
  AgTree(DiskView& volume, const Geometry& geometry, std::uint32_t ag, const AgTreeKind& kind);

  // Gives all records in the tree's order. Throws Doubt for a tree that breaks any rule; whether
  // the records ascend is the visitor's to check(). Call it once. Reads each block once, and no
  // more of them than the AG has.
  void walk(std::uint32_t root, std::uint32_t levels, const Visitor& visitor);

  // What the tree lies in, counted in the AG.
  [[nodiscard]] const std::vector<std::uint32_t>& blocks() const { return blocks_; }

  // Throws Doubt about this tree unless it holds.
  void check(bool holds, std::string_view what) const;

 private:
  using Bytes = std::span<const std::byte>;
  static constexpr std::uint32_t most_levels = 9;

  // Gives the record that comes first below the block; nothing where there is none.
  std::vector<std::byte> walk_block(std::uint32_t block, std::uint32_t level,
                                    const Visitor& visitor);
  std::vector<std::byte> walk_leaf(Bytes block, std::uint32_t count, const Visitor& visitor);
  std::vector<std::byte> walk_node(Bytes block, std::uint32_t count, std::uint32_t level,
                                   const Visitor& visitor);
  void check_header(Bytes block, std::uint32_t number, std::uint32_t level);
  [[nodiscard]] std::uint32_t header_size() const { return geometry_.is_v5 ? 56 : 16; }

  DiskView& volume_;
  const Geometry& geometry_;
  std::uint32_t ag_;
  AgTreeKind kind_;
  std::vector<std::uint32_t> blocks_;

  // For each level, the block that was visited last and the one that it names as the next.
  struct Neighbours {
    std::uint32_t last;
    std::uint32_t next;
  };
  std::vector<Neighbours> levels_;
};

}  // namespace formats::filesystems::xfs
