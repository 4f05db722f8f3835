#include "formats/disks/filesystems/btrfs/tree.hpp"

#include <fmt/format.h>
#include <cassert>

#include "formats/disks/filesystems/btrfs/words.hpp"
#include "formats/disks/filesystems/doubt.hpp"

namespace formats::filesystems::btrfs {
namespace {

using Bytes = std::span<const std::byte>;

namespace block_header {
enum Field : std::size_t {
  at_uuid = 32,
  at_address = 48,
  at_flags = 56,
  at_generation = 80,
  at_owner = 88,
  at_level = 100,
};
constexpr std::uint64_t written = 1;  // in the flags
}  // namespace block_header

using block_layout::header_size;
using block_layout::item_size;
using block_layout::pointer_size;
constexpr unsigned most_levels = 8;

}  // namespace

struct TreeReader::Walk {
  const TreeRoot& root;
  const Key& first;
  const Key& last;
  const Visitor& visitor;
  const Entrance& entrance;

  void check(bool holds, std::string_view what) const {
    if (holds) return;
    throw Doubt(Reason::damaged, fmt::format("its tree {} is damaged: {}", root.owner, what),
                std::string(repair));
  }
};

Key parse_key(Bytes bytes) {
  return {u64(bytes, 0), std::to_integer<std::uint8_t>(bytes[8]), u64(bytes, 9)};
}

RootItem parse_root(std::uint64_t tree, Bytes item) {
  constexpr std::size_t at_generation = 160;
  constexpr std::size_t at_address = 176;
  constexpr std::size_t at_references = 216;
  constexpr std::size_t at_level = 238;
  if (item.size() <= at_level) {
    throw Doubt(Reason::damaged, "its tree of roots is damaged: a short root", std::string(repair));
  }
  return {.root = {.address = u64(item, at_address),
                   .generation = u64(item, at_generation),
                   .level = std::to_integer<std::uint8_t>(item[at_level]),
                   .owner = tree},
          .references = u32(item, at_references)};
}

TreeReader::TreeReader(DiskView& volume, const Superblock& super, const ChunkMap& chunks)
    : volume_(volume), super_(super), chunks_(chunks) {}

void TreeReader::walk(const TreeRoot& root, const Key& first, const Key& last,
                      const Visitor& visitor, const Entrance& entrance) {
  const Walk walk{root, first, last, visitor, entrance};
  walk.check(root.level < most_levels, "depth");
  walk_block(walk, root.address, root.generation, root.level, lowest_key, highest_key);
}

// All keys of the block lie from `lowest` up to `end`; the last key of all is never used.
void TreeReader::walk_block(const Walk& walk, std::uint64_t address, std::uint64_t generation,
                            unsigned level, const Key& lowest, const Key& end) {
  if (walk.entrance && !walk.entrance(address, level)) return;
  walk.check(blocks_.size() <= volume_.size() / super_.node_size, "a loop");
  blocks_.push_back(address);
  const std::vector<std::byte> block = read_block(walk, address, generation, level);
  const std::uint32_t count = check_keys(walk, block, level, lowest, end);
  if (level == 0) {
    walk_leaf(walk, block, count);
  } else {
    walk_node(walk, block, count, level, end);
  }
}

std::vector<std::byte> TreeReader::read_block(const Walk& walk, std::uint64_t address,
                                              std::uint64_t generation, unsigned level) {
  const Chunk* chunk = chunks_.find(address, super_.node_size);
  walk.check(chunk != nullptr && address % super_.sector_size == 0,
             "a block outside of all chunks");
  assert(chunk != nullptr);
  std::vector<std::byte> block =
      volume_.read(chunk->places[0] + (address - chunk->address), super_.node_size);
  walk.check(has_right_checksum(block, super_.checksum), "wrong checksum");
  walk.check(equals(Bytes(block).subspan(block_header::at_uuid, 16), super_.metadata_uuid),
             "a block with another uuid");
  walk.check(u64(block, block_header::at_address) == address, "a block of another place");
  walk.check((u64(block, block_header::at_flags) & block_header::written) != 0,
             "a block that was not written");
  walk.check(u64(block, block_header::at_generation) == generation,
             "a block of another generation");
  walk.check(walk.root.shared || u64(block, block_header::at_owner) == walk.root.owner,
             "a block of another tree");
  walk.check(std::to_integer<unsigned>(block[block_header::at_level]) == level, "level");
  return block;
}

std::vector<std::byte> TreeReader::load(const TreeRoot& root, std::uint64_t address,
                                        std::uint64_t generation, unsigned level) {
  const Visitor nothing = [](const Key&, Bytes) {};
  const Key none = highest_key;
  const Entrance anywhere;
  const Walk walk{root, none, none, nothing, anywhere};
  walk.check(level < most_levels, "depth");
  std::vector<std::byte> block = read_block(walk, address, generation, level);
  const std::uint32_t count = check_keys(walk, block, level, lowest_key, highest_key);
  if (level == 0) walk_leaf(walk, block, count);
  return block;
}

// How many there are.
std::uint32_t TreeReader::check_keys(const Walk& walk, Bytes block, unsigned level,
                                     const Key& lowest, const Key& end) {
  const std::uint32_t count = u32(block, block_layout::at_count);
  const std::size_t entry = level == 0 ? item_size : pointer_size;
  walk.check(count <= (block.size() - header_size) / entry && (count > 0 || walk.root.level == 0),
             "number of items");
  Key before = lowest;
  for (std::uint32_t i = 0; i < count; ++i) {
    const Key key = parse_key(block.subspan(header_size + i * entry));
    walk.check((i == 0 ? before <= key : before < key) && key < end, "order of the keys");
    before = key;
  }
  return count;
}

void TreeReader::walk_leaf(const Walk& walk, Bytes block, std::uint32_t count) {
  const std::size_t items_end = header_size + count * item_size;
  std::size_t previous = block.size();
  for (std::uint32_t i = 0; i < count; ++i) {
    const Bytes entry = block.subspan(header_size + i * item_size, item_size);
    const Key key = parse_key(entry);
    const std::size_t offset = header_size + std::size_t{u32(entry, key_size)};
    const std::size_t size = u32(entry, key_size + 4);
    // Contents follow each other from the block's end towards its begin.
    walk.check(offset >= items_end && offset <= previous && size == previous - offset,
               "place of an item");
    previous = offset;
    if (walk.first <= key && key <= walk.last) walk.visitor(key, block.subspan(offset, size));
  }
}

void TreeReader::walk_node(const Walk& walk, Bytes block, std::uint32_t count, unsigned level,
                           const Key& end) {
  for (std::uint32_t i = 0; i < count; ++i) {
    const Bytes pointer = block.subspan(header_size + i * pointer_size);
    const Key lowest = parse_key(pointer);
    const Key next = i + 1 < count ? parse_key(pointer.subspan(pointer_size)) : end;
    if (next <= walk.first || walk.last < lowest) continue;
    walk_block(walk, u64(pointer, key_size), u64(pointer, key_size + 8), level - 1, lowest, next);
  }
}

}  // namespace formats::filesystems::btrfs
