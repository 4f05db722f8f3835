#include "formats/disks/filesystems/btrfs/tree_lookup.hpp"

#include <algorithm>

#include "formats/disks/filesystems/btrfs/words.hpp"
#include "formats/disks/filesystems/doubt.hpp"

namespace formats::filesystems::btrfs {
namespace {

using Bytes = std::span<const std::byte>;

std::uint32_t count_of(Bytes block) { return u32(block, block_layout::at_count); }

Bytes entry_of(Bytes block, std::size_t entry_size, std::uint32_t index) {
  return block.subspan(block_layout::header_size + index * entry_size, entry_size);
}

// The first of the entries whose key is not less than `key`.
std::uint32_t lower_bound(Bytes block, std::size_t entry_size, const Key& key) {
  std::uint32_t begin = 0, end = count_of(block);
  while (begin < end) {
    const std::uint32_t middle = begin + (end - begin) / 2;
    if (parse_key(entry_of(block, entry_size, middle)) < key) {
      begin = middle + 1;
    } else {
      end = middle;
    }
  }
  return begin;
}

}  // namespace

TreeLookup::Block TreeLookup::block(const TreeRoot& root, std::uint64_t address,
                                    std::uint64_t generation, unsigned level) {
  if (const auto known = by_address_.find(address); known != by_address_.end()) {
    const Kept& kept = *known->second;
    if (kept.generation == generation && kept.level == level) {
      blocks_.splice(blocks_.begin(), blocks_, known->second);
      return kept.block;
    }
    blocks_.erase(known->second);
    by_address_.erase(known);
  }
  // A reader for each, since it remembers what it has read.
  auto content = std::make_shared<const std::vector<std::byte>>(
      TreeReader(volume_, super_, chunks_).load(root, address, generation, level));
  if (blocks_.size() == most_blocks) {
    by_address_.erase(blocks_.back().address);
    blocks_.pop_back();
  }
  blocks_.push_front({address, generation, level, content});
  by_address_.emplace(address, blocks_.begin());
  return content;
}

TreeLookup::Block TreeLookup::leaf(const TreeRoot& root, const Key& key, Key& behind) {
  behind = highest_key;
  if (root.level >= most_levels) {
    throw Doubt(Reason::damaged, "has a tree that is too deep", std::string(repair));
  }
  std::uint64_t address = root.address, generation = root.generation;
  for (unsigned level = root.level; level > 0; --level) {
    const Block node = block(root, address, generation, level);
    const Bytes bytes = *node;
    std::uint32_t index = lower_bound(bytes, block_layout::pointer_size, key);
    const bool is_exact = index < count_of(bytes) &&
                          parse_key(entry_of(bytes, block_layout::pointer_size, index)) == key;
    if (!is_exact && index > 0) --index;
    const Bytes pointer = entry_of(bytes, block_layout::pointer_size, index);
    if (index + 1 < count_of(bytes)) {
      behind = std::min(behind, parse_key(entry_of(bytes, block_layout::pointer_size, index + 1)));
    }
    address = u64(pointer, key_size);
    generation = u64(pointer, key_size + 8);
  }
  return block(root, address, generation, 0);
}

void TreeLookup::visit(const TreeRoot& root, const Key& first, const Key& last,
                       const Visitor& visitor) {
  for (Key next = first;;) {
    Key behind;
    const Block block = leaf(root, next, behind);
    const Bytes bytes = *block;
    for (std::uint32_t i = lower_bound(bytes, block_layout::item_size, next); i < count_of(bytes);
         ++i) {
      const Bytes entry = entry_of(bytes, block_layout::item_size, i);
      const Key key = parse_key(entry);
      if (key > last) return;
      const std::size_t offset = block_layout::header_size + std::size_t{u32(entry, key_size)};
      if (!visitor(key, bytes.subspan(offset, u32(entry, key_size + 4)))) return;
    }
    // Leaves whose keys do not ascend from one to the next would be gone through for ever.
    if (behind > last || behind == highest_key || behind <= next) return;
    next = behind;
  }
}

}  // namespace formats::filesystems::btrfs
