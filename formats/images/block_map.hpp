// Where a disk image keeps which part of the guest's disk: what a format has to tell for
// BlockImage to read it.
//
// A map is asked range by range and reads its tables when a range needs them, so opening a huge
// image is cheap. Offsets in `guest` are of the guest's disk, in `host` of the image file; bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "io/byte_range.hpp"

namespace formats {

enum class BlockKind : std::uint8_t {
  absent,  // never written; reads as zeros
  zero,    // reads as zeros, and is meant to
  plain,   // in the file, at `host`
  memory,  // at `memory`
  packed,  // a part of a block of which a stream is at `host`: BlockMap::unpack()
};

// A range of the guest's disk that is stored in one way.
struct BlockRun {
  BlockKind kind = BlockKind::absent;
  std::uint64_t guest = 0;
  std::uint64_t length = 0;
  std::uint64_t host = 0;             // of plain: where `guest` is; of packed: where the stream is
  std::uint32_t stored_bytes = 0;     // of packed: the stream's at most
  const std::byte* memory = nullptr;  // valid as long as the map
};

class BlockMap {
 public:
  BlockMap() = default;
  BlockMap(const BlockMap&) = delete;
  BlockMap& operator=(const BlockMap&) = delete;
  virtual ~BlockMap() = default;

  [[nodiscard]] virtual std::uint64_t guest_size() const = 0;
  // What is decoded as one, at multiples of it on the guest's disk; 1 where blocks have no one
  // size.
  [[nodiscard]] virtual std::uint64_t block_size() const = 0;

  // What is at `guest` (below guest_size()), for at most `most` bytes (not 0). The run is never
  // empty, and may end before its kind does. What is plain lies inside the file. Throws Error where
  // the image is broken.
  [[nodiscard]] virtual BlockRun run_at(std::uint64_t guest, std::uint64_t most) = 0;

  // The whole block of which run_at() found a packed part at `guest`. Any thread may call this.
  [[nodiscard]] virtual io::ByteRange packed_block(std::uint64_t guest) const;

  // Decodes the packed block that begins at `guest` into `block`, which is as long as it. There may
  // be other bytes behind the end of `stream`. False: it is damaged. Any thread may call this. As
  // it is here: a raw deflate stream.
  [[nodiscard]] virtual bool unpack(std::uint64_t guest, std::span<const std::byte> stream,
                                    std::span<std::byte> block) const;
};

// How one block is stored.
struct StoredBlock {
  BlockKind kind = BlockKind::absent;
  std::uint64_t host = 0;
  std::uint32_t stored_bytes = 0;
  // This many blocks from this one on are known to be the same; more than one only of absent ones.
  std::uint64_t alike = 1;
};

// Of blocks of one size, each of which has an entry in a table.
class EntryMap : public BlockMap {
 public:
  // `block_size` is not 0; both are below 2^62.
  EntryMap(std::uint64_t guest_size, std::uint64_t block_size)
      : guest_size_(guest_size), block_size_(block_size) {}

  [[nodiscard]] std::uint64_t guest_size() const final { return guest_size_; }
  [[nodiscard]] std::uint64_t block_size() const final { return block_size_; }
  [[nodiscard]] std::uint64_t block_count() const {
    return guest_size_ / block_size_ + (guest_size_ % block_size_ != 0 ? 1 : 0);
  }
  // How much of a block is content: less than its size for the last one.
  [[nodiscard]] std::uint64_t content_of(std::uint64_t index) const;

  [[nodiscard]] BlockRun run_at(std::uint64_t guest, std::uint64_t most) override;

 protected:
  // `index` is below block_count().
  [[nodiscard]] virtual StoredBlock block_at(std::uint64_t index) = 0;

 private:
  std::uint64_t guest_size_;
  std::uint64_t block_size_;
};

}  // namespace formats
