// Apple's disk images (UDIF, .dmg): chunks in any place of the file, tables that name them, and a
// trailer in the last 512 bytes that says where the tables are: inside a property list, or in a
// resource fork.
//
// Sources: QEMU block/dmg.c, libyal "Mac OS disk image types" (modi), 7-Zip DmgHandler.cpp. All
// numbers are big-endian.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "io/file.hpp"

namespace formats::dmg {

inline constexpr std::uint64_t sector = 512;

enum class ChunkKind : std::uint8_t { zero, raw, zlib, bzip2, xz };

struct Chunk {
  ChunkKind kind = ChunkKind::zero;
  io::ByteRange guest;    // of the disk; whole sectors, at most 64 MiB where it is packed
  io::ByteRange stored;   // in the file; empty where it is zero
  std::uint64_t said_at;  // in the file: near what says so, for messages
};

struct Layout {
  std::uint64_t virtual_size = 0;  // bytes; whole sectors
  std::vector<Chunk> chunks;       // ascending and apart on the disk; gaps are zeros
};

// Whether `end`, the last 512 bytes of a file, begins as a trailer does: with its name and its
// size.
[[nodiscard]] bool has_magic(std::span<const std::byte> end);
// Whether the file ends with a trailer. Its start may look like anything: it is the first chunk.
[[nodiscard]] bool has_trailer(const io::File& file);

// Reads the trailer and all tables. Refuses chunks that share a place of the disk, or lie outside
// of the file or the disk. Throws Error; ErrorKind::unsupported for a split image and for chunks
// packed by ADC or LZFSE.
[[nodiscard]] Layout read_layout(const io::File& file);

// "zlib", "bzip2" ...
[[nodiscard]] std::string_view name_of(ChunkKind kind);

}  // namespace formats::dmg
