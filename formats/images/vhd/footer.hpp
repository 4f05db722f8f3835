// The footer and the dynamic header of a VHD image (qemu's "vpc"), read and checked.
//
// The footer is in the last sector of the file, of old images in its last 511 bytes. An image that
// is not fixed has a copy of it at its start, which stands in where the end is missing.
//
// Source: Microsoft, Virtual Hard Disk Image Format Specification 1.0. All numbers are big-endian.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "formats/images/block_facts.hpp"
#include "formats/images/parent.hpp"
#include "io/file.hpp"

namespace formats::vhd {

inline constexpr std::uint64_t sector = 512;
inline constexpr std::uint64_t footer_bytes = 512;
inline constexpr std::uint64_t short_footer_bytes = 511;
inline constexpr std::uint64_t dynamic_header_bytes = 1024;

enum class Kind : std::uint8_t { fixed = 2, dynamic = 3, differencing = 4 };

struct Footer {
  Kind kind = Kind::fixed;
  std::string creator;  // four characters
  std::uint64_t current_size = 0;
  std::uint64_t geometry_size = 0;  // cylinders * heads * sectors * 512
  bool largest_geometry = false;    // 65535, 16, 255: look at current_size
  std::uint64_t header_offset = 0;  // of the dynamic header
  std::string id;                   // hexadecimal digits

  // By the geometry where the creator goes by it, else the current one.
  [[nodiscard]] std::uint64_t virtual_size() const;
};

// The dynamic header.
struct Header {
  std::uint64_t offset = 0;
  std::uint64_t table_offset = 0;  // inside the file
  std::uint32_t entries = 0;       // of 4 bytes; cover the disk
  std::uint32_t block_size = 0;    // a power of two
  std::string parent;              // the name that a differencing image gives; may be empty
  std::string parent_id;           // what `id` of its footer has to be

  // What lies before the content of each block: a bit for each of its sectors.
  [[nodiscard]] std::uint64_t bitmap_bytes() const;
  [[nodiscard]] std::uint64_t table_bytes() const { return std::uint64_t{entries} * 4; }
};

struct Layout {
  Footer footer;
  bool end_is_missing = false;      // `footer` is the copy
  std::uint64_t footer_offset = 0;  // where it was found
  std::optional<Header> header;     // unless it is fixed
};

// Whether a file that begins so, if it has any format, is a VHD that is not fixed.
[[nodiscard]] bool has_magic(std::span<const std::byte> start);

// Nothing where `bytes`, 511 or 512 of them, are no footer or have a wrong checksum. Throws Error
// where a footer says what it must not; `offset` is where it lies.
[[nodiscard]] std::optional<Footer> parse_footer(std::span<const std::byte> bytes,
                                                 std::uint64_t offset, const std::string& path);

// What the end of a regular file says. A guest may have written such a footer to its raw disk; so
// one counts as that of a fixed image only where the sizes agree.
enum class Ending : std::uint8_t { none, fixed, other };
[[nodiscard]] Ending look_at_end(const io::File& file);

// Whether `bytes`, 511 or 512 of them, are the footer of a fixed image whose disk takes exactly the
// `data_bytes` before them.
[[nodiscard]] bool is_fixed_footer(std::span<const std::byte> bytes, std::uint64_t data_bytes);

// Throws Error.
[[nodiscard]] Header parse_header(std::span<const std::byte> bytes, const Footer& footer,
                                  std::uint64_t file_size, const std::string& path);
[[nodiscard]] Layout read_layout(const io::File& file);

[[nodiscard]] BlockFacts read_facts(const io::File& file);

// Of a differencing image. Throws Error, as identity_of() does, which gives the image's own id.
[[nodiscard]] std::optional<ParentReference> parent_of(const io::File& file);
[[nodiscard]] std::string identity_of(const io::File& file);

}  // namespace formats::vhd
