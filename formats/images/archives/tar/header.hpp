// The header blocks of a tar archive: ustar, GNU's and pax's, one block or one list at a time.
//
// Sources: POSIX.1-2017 pax ("ustar Interchange Format", "pax Header Block"), GNU tar manual "Basic
// Tar Format" and "Storing Sparse Files".
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/byte_range.hpp"

namespace formats::tar {

inline constexpr std::size_t block_bytes = 512;

// A million of 16 bytes each.
inline constexpr std::size_t most_segments = std::size_t{1} << 20;
inline constexpr std::uint64_t largest_member = std::uint64_t{1} << 62;

[[nodiscard]] bool has_magic(std::span<const std::byte> start);

// What one block says of a member.
struct Header {
  std::string name;
  char type = '0';
  std::uint64_t size = 0;  // of what follows, in the archive
  // GNU's old sparse members: what is stored, ascending as far as it is right.
  std::vector<io::ByteRange> segments;
  std::uint64_t real_size = 0;
  bool segments_go_on = false;  // in a block of their own
};

// Nothing where the block is no header: its checksum is wrong, or a number in it is none.
[[nodiscard]] std::optional<Header> parse_header(std::span<const std::byte> block);

// A further block of a sparse member's segments, which are added. False: it is damaged, or there
// are too many. `goes_on`: another one follows.
[[nodiscard]] bool parse_more_segments(std::span<const std::byte> block,
                                       std::vector<io::ByteRange>& segments, bool& goes_on);

// What pax says of the next member.
struct PaxRecords {
  std::string name;                   // empty: not said
  std::optional<std::uint64_t> size;  // of what follows
  bool sparse = false;
  std::string sparse_name;
  std::optional<std::uint64_t> real_size;
  bool map_in_data = false;             // format 1.0: it stands before the data
  std::vector<io::ByteRange> segments;  // formats 0.0 and 0.1
};
// False: it is damaged, or has too many segments.
[[nodiscard]] bool parse_pax(std::string_view text, PaxRecords& records);

// Digits alone, and at most 2^62.
[[nodiscard]] std::optional<std::uint64_t> parse_decimal(std::string_view text);

}  // namespace formats::tar
