#include "formats/filesystems/xfs/free_tree.hpp"

#include <fmt/format.h>

#include "formats/big_endian.hpp"
#include "formats/filesystems/doubt.hpp"
#include "formats/filesystems/xfs/words.hpp"

namespace formats::filesystems::xfs {
namespace {

constexpr std::uint32_t none = 0xffffffff;  // instead of a block's number

std::uint32_t magic_of(FreeTree::Order order, bool is_v5) {
  if (order == FreeTree::Order::by_place) return is_v5 ? 0x41423342 : 0x41425442;  // AB3B, ABTB
  return is_v5 ? 0x41423343 : 0x41425443;                                          // AB3C, ABTC
}

}  // namespace

FreeTree::FreeTree(DiskView& container, const Geometry& geometry, std::uint32_t ag, Order order)
    : container_(container), geometry_(geometry), ag_(ag), order_(order) {}

void FreeTree::check(bool holds, std::string_view what) const {
  if (holds) return;
  throw Doubt{fmt::format("the free space by {} of its allocation group {} is damaged: {}",
                          order_ == Order::by_place ? "place" : "size", ag_, what),
              std::string(repair)};
}

void FreeTree::walk(std::uint32_t root, std::uint32_t levels, const Visitor& visitor) {
  check(levels > 0 && levels <= most_levels, "depth");
  levels_.assign(levels, {none, none});
  const Extent first = walk_block(root, levels - 1, visitor);
  check(levels == 1 || first.length > 0, "an empty tree with several levels");
  for (const Neighbours& level : levels_) check(level.next == none, "a block is missing");
}

// Gives its first extent; one without length where it has none, as only a lone root may.
FreeTree::Extent FreeTree::walk_block(std::uint32_t block, std::uint32_t level,
                                      const Visitor& visitor) {
  check(block > 0 && block < geometry_.length(ag_), "a block outside of the group");
  check(blocks_.size() < geometry_.length(ag_), "a loop");
  blocks_.push_back(block);
  const std::vector<std::byte> bytes = container_.read(
      (geometry_.first_block(ag_) + block) * geometry_.block_size, geometry_.block_size);
  check_header(bytes, block, level);

  const std::uint32_t count = load_big_endian<std::uint16_t>(bytes, 6);
  const std::uint32_t most = (geometry_.block_size - header_size()) / (level == 0 ? 8 : 12);
  check(count <= most && (count > 0 || levels_.size() == 1), "number of records");
  return level == 0 ? walk_leaf(bytes, count, visitor) : walk_node(bytes, count, level, visitor);
}

void FreeTree::check_header(std::span<const std::byte> bytes, std::uint32_t block,
                            std::uint32_t level) {
  check(u32(bytes, 0) == magic_of(order_, geometry_.is_v5), "not a block of the tree");
  check(load_big_endian<std::uint16_t>(bytes, 4) == level, "level");
  if (geometry_.is_v5) {
    check(has_right_checksum(bytes, 52), "wrong checksum");
    const std::uint64_t place = geometry_.first_block(ag_) + block;
    check(load_big_endian<std::uint64_t>(bytes, 16) == place * (geometry_.block_size / 512),
          "a block of another place");
    check(equals(bytes.subspan(32, 16), geometry_.metadata_uuid), "a block with another uuid");
    check(u32(bytes, 48) == ag_, "a block of another group");
  }
  Neighbours& neighbours = levels_[level];
  check(u32(bytes, 8) == neighbours.last, "order of the blocks");
  check(neighbours.last == none || neighbours.next == block, "order of the blocks");
  neighbours = {block, u32(bytes, 12)};
}

FreeTree::Extent FreeTree::extent_at(std::span<const std::byte> bytes, std::uint32_t index) const {
  const std::size_t at = header_size() + std::size_t{8} * index;
  return {u32(bytes, at), u32(bytes, at + 4)};
}

FreeTree::Extent FreeTree::walk_leaf(std::span<const std::byte> bytes, std::uint32_t count,
                                     const Visitor& visitor) {
  for (std::uint32_t i = 0; i < count; ++i) {
    const Extent extent = extent_at(bytes, i);
    check(extent.length > 0 && extent.start < geometry_.length(ag_) &&
              extent.length <= geometry_.length(ag_) - extent.start,
          "an extent outside of the group");
    if (previous_.length > 0) {
      const bool ascends =
          order_ == Order::by_place
              ? extent.start >= previous_.start + previous_.length
              : extent.length > previous_.length ||
                    (extent.length == previous_.length && extent.start > previous_.start);
      check(ascends, "order of the extents");
    }
    previous_ = extent;
    visitor(extent.start, extent.length);
  }
  return count > 0 ? extent_at(bytes, 0) : Extent{0, 0};
}

FreeTree::Extent FreeTree::walk_node(std::span<const std::byte> bytes, std::uint32_t count,
                                     std::uint32_t level, const Visitor& visitor) {
  const std::uint32_t most = (geometry_.block_size - header_size()) / 12;
  Extent first{0, 0};
  for (std::uint32_t i = 0; i < count; ++i) {
    const Extent key = extent_at(bytes, i);
    const std::uint32_t child = u32(bytes, header_size() + 8 * most + 4 * i);
    const Extent found = walk_block(child, level - 1, visitor);
    check(found.start == key.start, "a key does not fit");
    if (order_ == Order::by_size) check(found.length == key.length, "a key does not fit");
    if (i == 0) first = found;
  }
  return first;
}

}  // namespace formats::filesystems::xfs
