// Where bytes come from: a disk, an image of any format, a pipe, or a filter over one of these.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "io/extent.hpp"
#include "io/ring.hpp"
#include "io/task.hpp"

namespace io {

// Bytes: how far to read a stream, whose end is not known yet. No disk is larger.
inline constexpr std::uint64_t stream_limit = std::uint64_t{1} << 62;

// A source belongs to one ring's thread. Offsets are guest offsets: bytes of the disk that the
// source shows, whatever container holds them.
class Source {
 public:
  virtual ~Source() = default;

  // For messages.
  [[nodiscard]] virtual const std::string& name() const = 0;

  // Virtual size in bytes. Unknown for a stream until it has ended.
  [[nodiscard]] virtual std::optional<std::uint64_t> size() const = 0;

  // False for a stream: it is read once, front to back, so there is no second pass.
  [[nodiscard]] virtual bool seekable() const { return true; }

  // The extent that holds `offset` (below size()), from `offset` on. It may end before its kind
  // does; it is never empty. Cheap to ask in ascending order. A stream answers data.
  [[nodiscard]] virtual Extent extent_at(std::uint64_t offset) = 0;

  // Fills `buffer` with `range` and gives the count: range.length, or less where a stream ends.
  // Holes read as zeros. buffer.bytes is at least range.length rounded up to buffer_alignment;
  // what lies behind the count is undefined after the call. A stream's ranges must follow one
  // another, but may be awaited side by side.
  // Throws Error; a range that a seekable source cannot fill is an error.
  virtual Task<std::size_t> read(ByteRange range, Buffer buffer) = 0;
};

}  // namespace io
