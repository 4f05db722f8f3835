// GNU ddrescue's mapfile: a text that says, for every byte of a disk, how far the rescue got.
//
//   # comments
//   0x00120000     ?               1          position, phase, pass
//   0x00000000  0x00117000  +                 offset, length, status: contiguous blocks
//
// Read more strictly than ddrescue 1.27 does (nothing may follow the last field), written byte for
// byte as it does: ddrescue and ddrescuelog go on from what is written here, and the other way
// round. Errors are io::Error. At most 64 MiB of text are read, in one pass; memory is below 16
// times the text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/range_map.hpp"

namespace formats {

// The values are the letters in the text.
enum class BlockStatus : char {
  non_tried = '?',
  non_trimmed = '*',
  non_scraped = '/',
  bad_sector = '-',
  finished = '+',
};

enum class RescuePhase : char {
  copying = '?',
  trimming = '*',
  scraping = '/',
  retrying = '-',
  filling = 'F',
  generating = 'G',
  finished = '+',
};

// The largest offset that the format can hold.
inline constexpr std::uint64_t max_mapfile_offset = INT64_MAX;

struct Mapfile {
  // The lines before the status line without their "# ", except the column titles. A control
  // character is written as '?', so that a comment cannot become anything else.
  std::vector<std::string> comments;
  std::uint64_t position = 0;  // where the rescue was, in bytes
  RescuePhase phase = RescuePhase::copying;
  int pass = 1;  // of this phase, from 1
  // Size and position are at most max_mapfile_offset. Bytes before the first block of a text are
  // non_tried, as ddrescue takes them.
  io::RangeMap<BlockStatus> blocks{0, BlockStatus::non_tried};

  friend bool operator==(const Mapfile&, const Mapfile&) = default;
};

// `path` is for error messages only; their offset is that of the bad line.
[[nodiscard]] Mapfile parse_mapfile(std::string_view text, const std::string& path);
[[nodiscard]] std::string mapfile_text(const Mapfile& mapfile);

// Nothing if there is no such file. A file of more than 64 MiB is refused.
[[nodiscard]] std::optional<Mapfile> load_mapfile(const std::string& path);

// Replaces `path` in one step (io/output_file.hpp): after a crash there is the old text or the new
// one.
void save_mapfile(const Mapfile& mapfile, const std::string& path);

}  // namespace formats
