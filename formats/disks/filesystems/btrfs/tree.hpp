// Reads the B-trees of btrfs, with every check that a block of a tree allows.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "formats/disks/disk_view.hpp"
#include "formats/disks/filesystems/btrfs/chunk_map.hpp"
#include "formats/disks/filesystems/btrfs/superblock.hpp"

namespace formats::filesystems::btrfs {

struct Key {
  std::uint64_t object = 0;
  std::uint8_t type = 0;
  std::uint64_t offset = 0;

  friend auto operator<=>(const Key&, const Key&) = default;
};

inline constexpr std::size_t key_size = 17;
// How the items of a block, or in its inner ones the pointers, lie in it.
namespace block_layout {
inline constexpr std::size_t header_size = 101;
inline constexpr std::size_t at_count = 96;
inline constexpr std::size_t item_size = 25;     // key, offset and size of the content
inline constexpr std::size_t pointer_size = 33;  // key, address, generation
}  // namespace block_layout

inline constexpr std::uint8_t root_item = 132;
inline constexpr std::uint8_t extent_item = 168;
inline constexpr std::uint8_t metadata_item = 169;
inline constexpr std::uint8_t block_group_item = 192;
inline constexpr std::uint8_t chunk_item = 228;

inline constexpr Key lowest_key{};
inline constexpr Key highest_key{~std::uint64_t{0}, 0xff, ~std::uint64_t{0}};

[[nodiscard]] Key parse_key(std::span<const std::byte> bytes);

// What the tree of roots says of a tree.
struct RootItem {
  TreeRoot root;
  std::uint32_t references = 0;  // none: it is being deleted, and parts of it are gone
};

// Throws Doubt.
[[nodiscard]] RootItem parse_root(std::uint64_t tree, std::span<const std::byte> item);

// Memory: a block for each level, and 8 bytes for each block read. Only a root may be empty, so
// that no block can be named twice with keys that ascend.
class TreeReader {
 public:
  using Visitor = std::function<void(const Key& key, std::span<const std::byte> item)>;
  // Hears of each block before it is read; false leaves it out, with all that is below it.
  using Entrance = std::function<bool(std::uint64_t address, unsigned level)>;

  // All outlive the reader.
  TreeReader(DiskView& volume, const Superblock& super, const ChunkMap& chunks);

  // Gives the items from `first` to `last`, both included, in ascending order. Throws Doubt for a
  // block whose checksum, place, generation, owner or order is wrong.
  void walk(const TreeRoot& root, const Key& first, const Key& last, const Visitor& visitor,
            const Entrance& entrance = {});

  // One block, with every check that walk() makes of it alone: its keys ascend, its items lie in
  // it.
  [[nodiscard]] std::vector<std::byte> load(const TreeRoot& root, std::uint64_t address,
                                            std::uint64_t generation, unsigned level);

  // The addresses of all blocks that were read.
  [[nodiscard]] const std::vector<std::uint64_t>& blocks() const { return blocks_; }

 private:
  struct Walk;
  void walk_block(const Walk& walk, std::uint64_t address, std::uint64_t generation, unsigned level,
                  const Key& lowest, const Key& end);
  static std::uint32_t check_keys(const Walk& walk, std::span<const std::byte> block,
                                  unsigned level, const Key& lowest, const Key& end);
  static void walk_leaf(const Walk& walk, std::span<const std::byte> block, std::uint32_t count);
  void walk_node(const Walk& walk, std::span<const std::byte> block, std::uint32_t count,
                 unsigned level, const Key& end);
  [[nodiscard]] std::vector<std::byte> read_block(const Walk& walk, std::uint64_t address,
                                                  std::uint64_t generation, unsigned level);

  DiskView& volume_;
  const Superblock& super_;
  const ChunkMap& chunks_;
  std::vector<std::uint64_t> blocks_;
};

}  // namespace formats::filesystems::btrfs
