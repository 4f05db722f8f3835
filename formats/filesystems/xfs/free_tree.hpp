// One of the two B+trees that hold the free extents of an XFS allocation group.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "formats/disk_view.hpp"
#include "formats/filesystems/xfs/superblock.hpp"

namespace formats::filesystems::xfs {

class FreeTree {
 public:
  enum class Order : std::uint8_t { by_place, by_size };
  // An extent: its first block, counted in the AG, and how many blocks it has.
  using Visitor = std::function<void(std::uint32_t start, std::uint32_t length)>;

  // Both outlive the tree.
  FreeTree(DiskView& container, const Geometry& geometry, std::uint32_t ag, Order order);

  // Gives all extents in the tree's order. They lie inside the AG, and by place they do not
  // overlap. Throws Doubt for a tree that breaks any rule. Call it once.
  void walk(std::uint32_t root, std::uint32_t levels, const Visitor& visitor);

  // What the tree lies in, counted in the AG.
  [[nodiscard]] const std::vector<std::uint32_t>& blocks() const { return blocks_; }

 private:
  struct Extent {
    std::uint32_t start;
    std::uint32_t length;
  };
  static constexpr std::uint32_t most_levels = 9;

  Extent walk_block(std::uint32_t block, std::uint32_t level, const Visitor& visitor);
  Extent walk_leaf(std::span<const std::byte> bytes, std::uint32_t count, const Visitor& visitor);
  Extent walk_node(std::span<const std::byte> bytes, std::uint32_t count, std::uint32_t level,
                   const Visitor& visitor);
  void check_header(std::span<const std::byte> bytes, std::uint32_t block, std::uint32_t level);
  [[nodiscard]] Extent extent_at(std::span<const std::byte> bytes, std::uint32_t index) const;
  void check(bool holds, std::string_view what) const;
  [[nodiscard]] std::uint32_t header_size() const { return geometry_.is_v5 ? 56 : 16; }

  DiskView& container_;
  const Geometry& geometry_;
  std::uint32_t ag_;
  Order order_;
  std::vector<std::uint32_t> blocks_;

  // Of each level, the block that was visited last and the one that it names as the next.
  struct Neighbours {
    std::uint32_t last;
    std::uint32_t next;
  };
  std::vector<Neighbours> levels_;
  Extent previous_{0, 0};
};

}  // namespace formats::filesystems::xfs
