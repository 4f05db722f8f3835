// Where the blocks of a new image go, and what a format keeps beside them: what BlockTarget asks.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "formats/images/content_identity.hpp"
#include "io/overlay_source.hpp"

namespace formats {

class BlockLayout {
 public:
  BlockLayout() = default;
  BlockLayout(const BlockLayout&) = delete;
  BlockLayout& operator=(const BlockLayout&) = delete;
  virtual ~BlockLayout() = default;

  // A power of two. A block is stored, or left out because it is zeros.
  [[nodiscard]] virtual std::uint64_t block_size() const = 0;

  // Where the content of block `index` of the disk lies in the file: the next place when it is
  // asked for first. Blocks are asked for in ascending order. A multiple of 4 KiB.
  virtual std::uint64_t place(std::uint64_t index) = 0;

  // What lies before the content of each block, up to it; a multiple of 4 KiB, or nothing.
  [[nodiscard]] virtual std::span<const std::byte> lead() const { return {}; }

  // The length of the file with the blocks that have a place.
  [[nodiscard]] virtual std::uint64_t file_bytes() const = 0;

  // Headers and tables, when all blocks are there.
  [[nodiscard]] virtual std::vector<io::Patch> finish(const ContentIdentity& identity) const = 0;
};

}  // namespace formats
