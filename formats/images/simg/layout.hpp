// What an Android sparse image (simg) says: which of its chunks hold which part of the disk.
//
// A value of this type is consistent: chunks follow one another without a gap on the disk and in
// the file, and end where both end. At most 4 Mi chunks are read, one after another, and each takes
// less than 96 bytes of memory (the list doubles as it grows).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "io/byte_range.hpp"
#include "io/file.hpp"

namespace formats::simg {

[[nodiscard]] bool has_magic(std::span<const std::byte> start);

enum class ChunkKind : std::uint8_t {
  raw,      // stored in the file
  fill,     // four bytes, over and over
  nothing,  // "don't care": reads as zeros
};

struct Chunk {
  io::ByteRange content;  // of the disk; never empty
  ChunkKind kind = ChunkKind::raw;
  std::uint32_t fill = 0;       // in the file's byte order: the first byte is the lowest
  std::uint64_t stored_at = 0;  // of raw, in the file
};

// The CRC-32 of the disk from its start up to `content_end`.
struct Checksum {
  std::uint64_t content_end = 0;
  std::uint32_t value = 0;
  std::uint64_t stored_at = 0;
};

struct Layout {
  std::uint32_t block_size = 0;
  std::uint64_t content_size = 0;
  std::vector<Chunk> chunks;
  std::vector<Checksum> checksums;  // ascending
};

// Throws Error.
Layout read_layout(const io::File& file);

}  // namespace formats::simg
