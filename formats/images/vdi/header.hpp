// The header of a VirtualBox disk image (VDI), version 1.1, read and checked.
//
// Source: VirtualBox, src/VBox/Storage/VDICore.h. All numbers are little-endian.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "formats/images/block_facts.hpp"
#include "io/file.hpp"

namespace formats::vdi {

inline constexpr std::uint64_t header_bytes = 512;
inline constexpr std::uint64_t most_map_bytes = 64 * io::MiB;

enum class Kind : std::uint8_t { dynamic = 1, fixed = 2, undo = 3, differencing = 4 };

struct Header {
  Kind kind = Kind::dynamic;
  std::string creator;
  std::uint64_t virtual_size = 0;  // whole sectors of 512 bytes
  std::uint32_t block_size = 0;    // a power of two
  std::uint32_t extra = 0;         // bytes before each block's content
  std::uint32_t blocks = 0;        // cover virtual_size
  std::uint32_t used_blocks = 0;   // as the header says it
  std::uint64_t map_offset = 0;    // `blocks` words, inside the file and before data_offset
  std::uint64_t data_offset = 0;
  bool has_parent = false;

  [[nodiscard]] std::uint64_t stride() const { return std::uint64_t{block_size} + extra; }
  [[nodiscard]] std::uint64_t map_bytes() const { return std::uint64_t{blocks} * 4; }
};

[[nodiscard]] bool has_magic(std::span<const std::byte> start);

// `start` is the file's beginning, of header_bytes unless the file is shorter. Throws Error.
[[nodiscard]] Header parse_header(std::span<const std::byte> start, std::uint64_t file_size,
                                  const std::string& path);
[[nodiscard]] Header read_header(const io::File& file);

[[nodiscard]] BlockFacts read_facts(const io::File& file);

}  // namespace formats::vdi
