// The blocks of an ext file system, as they are on the disk or as they will be when its journal
// has been replayed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "formats/disks/disk_view.hpp"

namespace formats::filesystems::ext {

// Consecutive blocks.
struct BlockRange {
  std::uint64_t first = 0;
  std::uint64_t count = 0;

  [[nodiscard]] std::uint64_t end() const { return first + count; }
};

class Blocks {
 public:
  // `volume` outlives it.
  Blocks(DiskView& volume, std::uint32_t block_size, std::uint64_t block_count)
      : volume_(volume), block_size_(block_size), block_count_(block_count) {}

  [[nodiscard]] std::uint32_t block_size() const noexcept { return block_size_; }
  [[nodiscard]] std::uint64_t count() const noexcept { return block_count_; }

  // The content; throws Doubt when the range does not lie inside the file system.
  [[nodiscard]] std::vector<std::byte> read(BlockRange range);
  // The same without what replace() changed.
  [[nodiscard]] std::vector<std::byte> read_from_disk(BlockRange range);

  // From now on `block` reads as the content of block `copy`; `escaped` says that a journal's
  // magic number has to be put back at its begin.
  void replace(std::uint64_t block, std::uint64_t copy, bool escaped) {
    replaced_[block] = Copy{copy, escaped};
  }
  // All blocks read as they are on the disk again.
  void put_back() { replaced_.clear(); }
  [[nodiscard]] bool is_replaced(std::uint64_t block) const { return replaced_.contains(block); }
  [[nodiscard]] bool any_replaced() const { return !replaced_.empty(); }

 private:
  struct Copy {
    std::uint64_t block;
    bool escaped;
  };

  DiskView& volume_;
  std::uint32_t block_size_;
  std::uint64_t block_count_;
  std::map<std::uint64_t, Copy> replaced_;
};

}  // namespace formats::filesystems::ext
