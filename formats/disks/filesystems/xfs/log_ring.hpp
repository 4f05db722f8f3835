// The blocks of an XFS log: a ring of 512 bytes each, whatever the file system's block size is,
// that is written over and over. Every block carries the number of the round, its cycle.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "formats/disks/disk_view.hpp"
#include "formats/disks/filesystems/xfs/superblock.hpp"
#include "io/byte_range.hpp"

namespace formats::filesystems::xfs {

inline constexpr std::uint32_t log_block_size = 512;
inline constexpr std::uint32_t log_record_magic = 0xfeedbabe;

class LogRing {
 public:
  LogRing(DiskView& volume, const Geometry& geometry);

  [[nodiscard]] std::uint32_t blocks() const { return blocks_; }
  [[nodiscard]] std::uint32_t wrapped(std::uint64_t block) const {
    return static_cast<std::uint32_t>(block % blocks_);
  }

  // `count` blocks from `block` on, at most all of the ring.
  [[nodiscard]] std::vector<std::byte> read(std::uint32_t block, std::uint32_t count);
  [[nodiscard]] std::uint32_t cycle(std::uint32_t block);

  // Where `count` blocks from `block` on lie, in bytes of the volume: one or two ranges.
  [[nodiscard]] std::vector<io::ByteRange> place(std::uint32_t block, std::uint32_t count) const;

 private:
  DiskView& volume_;
  std::uint64_t begin_;
  std::uint32_t blocks_;
};

// The cycle in the first bytes of a block of the log.
[[nodiscard]] std::uint32_t cycle_of(std::span<const std::byte> block);

// Where the log ends: what will be written next.
struct LogEnd {
  std::uint32_t block = 0;
  std::uint32_t cycle_before = 0;  // of the blocks from the ring's begin up to here
  std::uint32_t window = 0;        // how many blocks before the end were looked at
  bool is_unused = false;          // nothing was ever written
  // The last record in front of the end, if one begins in the window.
  std::optional<std::uint32_t> last_header;
};

// Throws Doubt when blocks near the end are not of the cycle that they must have: then some
// writes were lost.
[[nodiscard]] LogEnd find_end(LogRing& ring);

}  // namespace formats::filesystems::xfs
