#include "formats/disks/filesystems/xfs/ag_tree.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "formats/bytes/big_endian.hpp"
#include "formats/disks/filesystems/doubt.hpp"
#include "formats/disks/filesystems/xfs/words.hpp"

namespace formats::filesystems::xfs {
namespace {

constexpr std::uint32_t none = 0xffffffff;  // instead of a block's number
constexpr std::uint32_t pointer_size = 4;

}  // namespace

AgTree::AgTree(DiskView& volume, const Geometry& geometry, std::uint32_t ag, const AgTreeKind& kind)
    : volume_(volume), geometry_(geometry), ag_(ag), kind_(kind) {}

void AgTree::check(bool holds, std::string_view what) const {
  if (holds) return;
  throw Doubt(Reason::damaged,
              fmt::format("the tree of {} of its allocation group {} is damaged: {}", kind_.name,
                          ag_, what),
              std::string(repair));
}

void AgTree::walk(std::uint32_t root, std::uint32_t levels, const Visitor& visitor) {
  check(levels > 0 && levels <= most_levels, "depth");
  levels_.assign(levels, {none, none});
  const auto first = walk_block(root, levels - 1, visitor);
  check(levels == 1 || !first.empty(), "an empty tree with several levels");
  for (const Neighbours& level : levels_) check(level.next == none, "a block is missing");
}

std::vector<std::byte> AgTree::walk_block(std::uint32_t block, std::uint32_t level,
                                          const Visitor& visitor) {
  check(block > 0 && block < geometry_.length(ag_), "a block outside of the group");
  check(blocks_.size() < geometry_.length(ag_), "a loop");
  blocks_.push_back(block);
  const std::vector<std::byte> bytes = volume_.read(
      (geometry_.first_block(ag_) + block) * geometry_.block_size, geometry_.block_size);
  check_header(bytes, block, level);

  const std::uint32_t count = load_big_endian<std::uint16_t>(bytes, 6);
  const std::uint32_t entry = level == 0 ? kind_.record_size : kind_.key_size + pointer_size;
  const std::uint32_t most = (geometry_.block_size - header_size()) / entry;
  check(count <= most && (count > 0 || levels_.size() == 1), "number of records");
  return level == 0 ? walk_leaf(bytes, count, visitor) : walk_node(bytes, count, level, visitor);
}

void AgTree::check_header(Bytes block, std::uint32_t number, std::uint32_t level) {
  check(u32(block, 0) == (geometry_.is_v5 ? kind_.magic_v5 : kind_.magic_v4),
        "not a block of the tree");
  check(load_big_endian<std::uint16_t>(block, 4) == level, "level");
  if (geometry_.is_v5) {
    check(has_right_checksum(block, 52), "wrong checksum");
    const std::uint64_t place = geometry_.first_block(ag_) + number;
    check(load_big_endian<std::uint64_t>(block, 16) == place * (geometry_.block_size / 512),
          "a block of another place");
    check(equals(block.subspan(32, 16), geometry_.metadata_uuid), "a block with another uuid");
    check(u32(block, 48) == ag_, "a block of another group");
  }
  Neighbours& neighbours = levels_[level];
  check(u32(block, 8) == neighbours.last, "order of the blocks");
  check(neighbours.last == none || neighbours.next == number, "order of the blocks");
  neighbours = {number, u32(block, 12)};
}

std::vector<std::byte> AgTree::walk_leaf(Bytes block, std::uint32_t count, const Visitor& visitor) {
  const Bytes records = block.subspan(header_size(), std::size_t{count} * kind_.record_size);
  for (std::uint32_t i = 0; i < count; ++i) {
    visitor(records.subspan(std::size_t{i} * kind_.record_size, kind_.record_size));
  }
  const Bytes first = records.first(std::min<std::size_t>(records.size(), kind_.record_size));
  return {first.begin(), first.end()};
}

std::vector<std::byte> AgTree::walk_node(Bytes block, std::uint32_t count, std::uint32_t level,
                                         const Visitor& visitor) {
  const std::uint32_t most =
      (geometry_.block_size - header_size()) / (kind_.key_size + pointer_size);
  const Bytes keys = block.subspan(header_size());
  const Bytes pointers = keys.subspan(std::size_t{most} * kind_.key_size);
  std::vector<std::byte> first;
  for (std::uint32_t i = 0; i < count; ++i) {
    const Bytes key = keys.subspan(std::size_t{i} * kind_.key_size, kind_.key_matches);
    auto found = walk_block(u32(pointers, std::size_t{i} * pointer_size), level - 1, visitor);
    check(found.size() >= key.size() && std::equal(key.begin(), key.end(), found.begin()),
          "a key does not fit");
    if (i == 0) first = std::move(found);
  }
  return first;
}

}  // namespace formats::filesystems::xfs
