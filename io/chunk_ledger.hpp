// What each chunk of an image contains, as far as it is known: its digest, that it is zeros,
// or nothing yet. Kept from the write pass so that verify needs no second look at the source.
//
// Eight bytes a chunk. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "io/byte_range.hpp"

namespace io {

class ChunkLedger {
 public:
  enum class State : std::uint8_t { unknown, zeros, digest };

  explicit ChunkLedger(std::uint64_t chunk_size) : chunk_size_(chunk_size) {}

  [[nodiscard]] std::uint64_t chunk_size() const noexcept { return chunk_size_; }
  // The chunk that `offset` lies in.
  [[nodiscard]] std::uint64_t index_of(std::uint64_t offset) const { return offset / chunk_size_; }

  [[nodiscard]] State state(std::uint64_t chunk) const;

  // `content` is the whole chunk, or what the image's end leaves of it.
  void record(std::uint64_t chunk, std::span<const std::byte> content);
  // Every chunk that begins in `range`, which starts at a chunk's start, is zeros.
  void record_zeros(ByteRange range);
  // Whether `content` is what was recorded. The chunk must not be unknown.
  [[nodiscard]] bool matches(std::uint64_t chunk, std::span<const std::byte> content) const;
  // The last chunk that was recorded with this content; nothing for zeros. Looks at every chunk.
  [[nodiscard]] std::optional<std::uint64_t> last_with(std::span<const std::byte> content) const;

 private:
  std::uint64_t& entry(std::uint64_t chunk);

  std::uint64_t chunk_size_;
  std::vector<std::uint64_t> entries_;  // 0 unknown, 1 zeros, else the digest
};

}  // namespace io
