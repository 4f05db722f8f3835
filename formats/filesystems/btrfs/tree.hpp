// Reads the B-trees of btrfs, with every check that a block of a tree allows.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "formats/disk_view.hpp"
#include "formats/filesystems/btrfs/chunk_map.hpp"
#include "formats/filesystems/btrfs/superblock.hpp"

namespace formats::filesystems::btrfs {

struct Key {
  std::uint64_t object = 0;
  std::uint8_t type = 0;
  std::uint64_t offset = 0;

  friend auto operator<=>(const Key&, const Key&) = default;
};

inline constexpr std::size_t key_size = 17;
inline constexpr std::uint8_t root_item = 132;
inline constexpr std::uint8_t extent_item = 168;
inline constexpr std::uint8_t metadata_item = 169;
inline constexpr std::uint8_t block_group_item = 192;
inline constexpr std::uint8_t chunk_item = 228;

inline constexpr Key lowest_key{};
inline constexpr Key highest_key{~std::uint64_t{0}, 0xff, ~std::uint64_t{0}};

[[nodiscard]] Key parse_key(std::span<const std::byte> bytes);

class TreeReader {
 public:
  using Visitor = std::function<void(const Key& key, std::span<const std::byte> item)>;

  // All outlive the reader.
  TreeReader(DiskView& container, const Superblock& super, const ChunkMap& chunks);

  // Gives the items from `first` to `last`, both included, in ascending order. Throws Doubt for a
  // block whose checksum, place, generation, owner or order is wrong.
  void walk(const TreeRoot& root, const Key& first, const Key& last, const Visitor& visitor);

  // The addresses of all blocks that were read.
  [[nodiscard]] const std::vector<std::uint64_t>& blocks() const { return blocks_; }

 private:
  struct Walk;
  void walk_block(const Walk& walk, std::uint64_t address, std::uint64_t generation, unsigned level,
                  const Key& lowest, const Key& end);
  void walk_leaf(const Walk& walk, std::span<const std::byte> block, std::uint32_t count);
  void walk_node(const Walk& walk, std::span<const std::byte> block, std::uint32_t count,
                 unsigned level, const Key& end);
  [[nodiscard]] std::vector<std::byte> read_block(const Walk& walk, std::uint64_t address,
                                                  std::uint64_t generation, unsigned level);

  DiskView& container_;
  const Superblock& super_;
  const ChunkMap& chunks_;
  std::vector<std::uint64_t> blocks_;
};

}  // namespace formats::filesystems::btrfs
