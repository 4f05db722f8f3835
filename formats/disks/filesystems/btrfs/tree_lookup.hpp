// Items of btrfs' trees, looked up in no order: blocks that were read and checked are kept for a
// while.
#pragma once

#include <functional>
#include <list>
#include <unordered_map>

#include "formats/disks/filesystems/btrfs/tree.hpp"

namespace formats::filesystems::btrfs {

class TreeLookup {
 public:
  // False: enough was seen.
  using Visitor = std::function<bool(const Key& key, std::span<const std::byte> item)>;

  // All outlive it.
  TreeLookup(DiskView& volume, const Superblock& super, const ChunkMap& chunks)
      : volume_(volume), super_(super), chunks_(chunks) {}

  // Gives the items from `first` to `last`, both included, in ascending order. What they are given
  // lives until the visitor returns; it may look up others meanwhile. Throws Doubt.
  void visit(const TreeRoot& root, const Key& first, const Key& last, const Visitor& visitor);

 private:
  // 32 MiB of the largest blocks there are.
  static constexpr std::size_t most_blocks = 512;
  static constexpr unsigned most_levels = 8;

  using Block = std::shared_ptr<const std::vector<std::byte>>;
  struct Kept {
    std::uint64_t address;
    std::uint64_t generation;
    unsigned level;
    Block block;
  };
  using Blocks = std::list<Kept>;  // the one that was used last comes first

  Block block(const TreeRoot& root, std::uint64_t address, std::uint64_t generation,
              unsigned level);
  // The leaf in which `key` lies or would lie, and the first key behind that leaf.
  Block leaf(const TreeRoot& root, const Key& key, Key& behind);

  DiskView& volume_;
  const Superblock& super_;
  const ChunkMap& chunks_;
  Blocks blocks_;
  std::unordered_map<std::uint64_t, Blocks::iterator> by_address_;
};

}  // namespace formats::filesystems::btrfs
