// What device-mapper writes on a thin pool's metadata volume: a superblock, B-trees, and space maps
// that count how often each block is named. Blocks have 4096 bytes, numbers are little-endian, and
// each block says its own number and has a CRC-32C over all but that checksum.
//
// Source of the format: the comments and structures of Linux' drivers/md/dm-thin-metadata.c and
// drivers/md/persistent-data/, checked with what thin_restore and a kernel's own pool write.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "formats/disks/disk_view.hpp"

namespace formats::filesystems::lvm {

inline constexpr std::size_t thin_block_size = 4096;
inline constexpr std::string_view thin_repair = "check the pool (thin_check, lvconvert --repair)";

// Where a space map begins. All zeros for an empty pool's data.
struct SpaceMapRoot {
  std::uint64_t blocks = 0;
  std::uint64_t bitmap_root = 0;  // of metadata: one block that lists them; of data: a B-tree
};

struct ThinSuperblock {
  std::uint64_t transaction = 0;
  SpaceMapRoot data;
  SpaceMapRoot metadata;
  std::uint64_t mapping_root = 0;  // device -> B-tree of (chunk of the device -> chunk of the pool)
  std::uint64_t details_root = 0;  // device -> details
  std::uint64_t chunk_size = 0;    // in bytes
};

// Counts from 0 to 3, which stands for "3 or more": two bits each.
class SmallCounts {
 public:
  explicit SmallCounts(std::uint64_t size = 0) : size_(size), bits_((size + 3) / 4) {}

  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
  [[nodiscard]] unsigned at(std::uint64_t index) const {
    return (bits_[index / 4] >> shift(index)) & 3U;
  }
  void add_one(std::uint64_t index) {
    if (at(index) < 3)
      bits_[index / 4] = static_cast<std::uint8_t>(bits_[index / 4] + (1U << shift(index)));
  }
  void set(std::uint64_t index, unsigned count) {
    const unsigned others = bits_[index / 4] & ~(3U << shift(index));
    bits_[index / 4] = static_cast<std::uint8_t>(others | (count << shift(index)));
  }

 private:
  static unsigned shift(std::uint64_t index) { return static_cast<unsigned>(index % 4) * 2; }

  std::uint64_t size_;
  std::vector<std::uint8_t> bits_;
};

// Everything throws Doubt for what is damaged or not known, and what the source throws.
//
// Memory: two bits for each block of metadata, of which there are at most 4 Mi (16 GiB), twice.
class ThinMetadata {
 public:
  // Reads the superblock, and the space map of the metadata. `view` shows the metadata volume, and
  // outlives this.
  explicit ThinMetadata(DiskView& view);

  [[nodiscard]] const ThinSuperblock& superblock() const noexcept { return super_; }

  // `shared`: other trees lead to the same entry. `value` has as many bytes as walk() was told.
  using Visitor =
      std::function<void(std::uint64_t key, std::span<const std::byte> value, bool shared)>;
  // Gives the entries of a B-tree in ascending order. A block is at most 16 levels deep.
  void walk(std::uint64_t root, std::size_t value_size, const Visitor& visitor);

  // The same for a tree of 8-byte values, but nothing below a block that an earlier count() or
  // walk() has met: so all trees together cost no more than all blocks of metadata once.
  void walk_once(std::uint64_t root, std::size_t value_size, const Visitor& visitor);

  // Calls `visitor` for the counts of data blocks, 16,320 in ascending order each: the first
  // block's number, how many, and how to ask for the count of the n-th. Its blocks are taken once,
  // too.
  using Counts = std::function<unsigned(std::uint64_t n)>;
  void read_data_map(const std::function<void(std::uint64_t first, std::uint64_t count,
                                              const Counts& counts)>& visitor);

  // Whether each block that was met was met as often as the metadata's space map says: so that
  // `shared` was true. Throws Doubt when not.
  void check_counts() const;

  // How many blocks walk() may still read, before it throws Doubt.
  void limit(std::uint64_t blocks) { left_ = blocks; }
  [[nodiscard]] std::uint64_t left() const noexcept { return left_; }

 private:
  struct Walk;
  void read_superblock();
  void read_metadata_map();
  // Notes one more reference to a block. Whether it was met before.
  bool meet(std::uint64_t block);
  void walk_block(const Walk& walk, std::uint64_t block, std::uint64_t lowest, std::uint64_t last,
                  unsigned depth, bool shared);
  [[nodiscard]] std::vector<std::byte> read_block(std::uint64_t block, std::uint32_t kind);

  DiskView& view_;
  ThinSuperblock super_;
  SmallCounts expected_;  // by the space map
  SmallCounts met_;
  std::uint64_t left_ = ~std::uint64_t{0};
};

}  // namespace formats::filesystems::lvm
