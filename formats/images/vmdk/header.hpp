// The header of a sparse VMware disk image (VMDK), read and checked: of one that grows
// (monolithicSparse) and of one that is a stream of compressed grains (streamOptimized).
//
// A stream's header may leave open where the grain directory is; then a copy of the header in its
// last sectors, the footer, says it.
//
// Source: VMware, Virtual Disk Format 5.0, "Hosted Sparse Extents" and "Stream-Optimized Compressed
// Sparse Extents". All numbers are little-endian, all places and lengths in sectors of 512 bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "formats/images/block_facts.hpp"
#include "formats/images/parent.hpp"
#include "formats/images/vmdk/descriptor.hpp"
#include "io/file.hpp"

namespace formats::vmdk {

inline constexpr std::uint64_t sector = 512;
inline constexpr std::uint64_t header_bytes = 512;
// Before the stream of a compressed grain: its sector on the disk (8 bytes), and how long it is.
inline constexpr std::size_t grain_marker_bytes = 12;
inline constexpr std::uint64_t most_directory_bytes = 64 * io::MiB;

// What stands in place of the directory's sector where the footer has it.
inline constexpr std::uint64_t at_end = ~std::uint64_t{0};

struct Header {
  std::uint64_t bytes = header_bytes;  // of the header itself
  std::uint32_t version = 0;
  std::uint64_t capacity = 0;           // sectors
  std::uint64_t grain = 0;              // sectors; a power of two
  std::uint64_t descriptor = 0;         // sector; 0: it has none
  std::uint64_t descriptor_length = 0;  // sectors
  std::uint32_t entries = 0;            // of each grain table; a power of two
  std::uint64_t directory = 0;          // sector, or at_end
  std::uint64_t overhead = 0;           // sectors; grains lie behind them
  bool zero_grains = false;             // an entry of 1 is a grain of zeros
  bool compressed = false;
  bool markers = false;  // each grain begins with its place on the disk
  bool unclean = false;  // whoever wrote to it last did not close it

  [[nodiscard]] std::uint64_t grain_bytes() const { return grain * sector; }
  [[nodiscard]] std::uint64_t table_bytes() const { return std::uint64_t{entries} * 4; }
  // Grain tables that cover the disk.
  [[nodiscard]] std::uint64_t tables() const;
};

[[nodiscard]] bool has_magic(std::span<const std::byte> start);

// Whether a file that begins so is of this format: a part of a disk, or the text that names parts.
[[nodiscard]] bool is_vmdk(std::span<const std::byte> start);
// Of the text.
[[nodiscard]] bool is_descriptor(const io::File& file);

// `bytes` are those at `offset` of the file, header_bytes unless it ends before. Throws Error.
[[nodiscard]] Header parse_header(std::span<const std::byte> bytes, std::uint64_t offset,
                                  const std::string& path);

// The header as it stands in a file whose grains begin behind `overhead` sectors: header_bytes.
[[nodiscard]] std::vector<std::byte> to_bytes(const Header& header, std::uint64_t overhead);

struct Layout {
  Header header;  // with the directory's place
  Descriptor descriptor;
};

// Throws ErrorKind::refused, about the file at `path`, where it holds a part of a disk alone.
void refuse_parts(const std::string& path, const Layout& layout);

// The same where its content is only what differs from another disk.
void refuse_child(const std::string& path, const Descriptor& descriptor);

// Of a disk that is in one file. Throws Error; ErrorKind::refused where the file holds a part of a
// disk alone.
[[nodiscard]] Layout read_layout(const io::File& file);

// That of a sparse file which a descriptor names, with the directory's place. Throws Error.
[[nodiscard]] Header read_extent_header(const io::File& file);

// A descriptor in a file of its own: 1 to most_extents extents, which add up to less than 2^63
// bytes. Throws Error.
[[nodiscard]] Descriptor read_descriptor_file(const io::File& file);

[[nodiscard]] BlockFacts read_facts(const io::File& file);

// The disk below, which the descriptor names. Throws Error, as identity_of() does, which gives the
// disk's own content ID.
[[nodiscard]] std::optional<ParentReference> parent_of(const io::File& file);
[[nodiscard]] std::string identity_of(const io::File& file);

}  // namespace formats::vmdk
