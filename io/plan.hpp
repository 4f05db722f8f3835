// What is left to copy, handed out front to back: single chunks of data, and long stretches of
// zeros. Extents are asked for as the copy goes, never for the whole disk first.
#pragma once

#include <optional>
#include <vector>

#include "io/source.hpp"

namespace io {

// A chunk lies on the grid of multiples of chunk_size. One that holds any data is data as a
// whole: reading a hole costs less than a second request.
class Plan {
 public:
  // `ranges` are ascending ranges, each beginning on the grid. The last one may reach past the
  // end of a stream. `source` outlives the plan.
  Plan(Source& source, std::uint64_t chunk_size, std::vector<ByteRange> ranges);

  // A chunk of data; or zeros (kind hole): at least one chunk, at most `longest_zeros`; or skip,
  // likewise. Nothing when all is handed out.
  std::optional<Extent> next();

  // Where the next extent will start.
  [[nodiscard]] std::uint64_t position() const noexcept { return position_; }
  // What next() would still give.
  [[nodiscard]] std::vector<ByteRange> rest() const;
  // Nothing behind `end`: the stream ended there, or the job does.
  void stop_at(std::uint64_t end) noexcept { end_ = end; }

 private:
  Source& source_;
  std::uint64_t chunk_size_;
  std::vector<ByteRange> ranges_;
  std::size_t current_ = 0;
  std::uint64_t position_ = 0;
  std::uint64_t end_ = ~std::uint64_t{0};
};

// The kind of all of `chunk`: data, hole (whatever reads as zeros) or skip. Data where kinds meet.
ExtentKind kind_of(Source& source, ByteRange chunk);

// `ranges` as a plan wants them: ascending, disjoint, each from a multiple of chunk_size on;
// every byte of them from `begin` (such a multiple) on is in the result.
std::vector<ByteRange> on_grid(std::vector<ByteRange> ranges, std::uint64_t chunk_size,
                               std::uint64_t begin);

// Bytes in all of them.
std::uint64_t total_length(const std::vector<ByteRange>& ranges);

}  // namespace io
