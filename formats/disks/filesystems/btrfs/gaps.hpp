// What the extents of a btrfs leave over in its chunks. All addresses are logical.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "formats/disks/filesystems/btrfs/chunk_map.hpp"
#include "formats/disks/filesystems/free_clusters.hpp"

namespace formats::filesystems::btrfs {

class Gaps {
 public:
  // `chunks` outlives the gaps.
  Gaps(const ChunkMap& chunks, std::uint32_t sector_size);

  // In ascending order. Throws Doubt for one that overlaps another, or that no chunk has.
  void add_extent(std::uint64_t address, std::uint64_t length);
  // A chunk's count of what is used in it. Throws Doubt when there is no such chunk.
  void add_group(std::uint64_t address, std::uint64_t length, std::uint64_t type,
                 std::uint64_t used);
  // After all extents and groups. Throws Doubt when a chunk's count does not fit, or is missing.
  void finish();

  [[nodiscard]] std::uint64_t used() const { return used_; }
  [[nodiscard]] bool have_any_of(std::uint64_t address, std::uint64_t length) const;

  // Ascending; one may reach from one chunk into the next.
  [[nodiscard]] std::vector<io::ByteRange> take() && { return std::move(free_).take(); }

 private:
  struct Group {
    std::uint64_t used = 0;
    std::optional<std::uint64_t> stated;
  };
  void add_gap(std::uint64_t end);
  void finish_chunk();

  const std::vector<Chunk>& chunks_;
  std::uint32_t sector_size_;
  std::size_t current_ = 0;     // the chunk
  std::uint64_t position_ = 0;  // in it: what is before is dealt with
  std::uint64_t used_ = 0;
  std::vector<Group> groups_;  // one for each chunk
  FreeClusters free_;
};

}  // namespace formats::filesystems::btrfs
