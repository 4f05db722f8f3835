// Where bytes go: a disk, an image file, a pipe.
#pragma once

#include <cstdint>
#include <string>

#include "io/byte_range.hpp"
#include "io/ring.hpp"
#include "io/task.hpp"

namespace io {

// A target belongs to one ring's thread. Requests may be awaited side by side as long as their
// ranges do not share a sector (alignment()).
class Target {
 public:
  virtual ~Target() = default;

  [[nodiscard]] virtual const std::string& name() const = 0;

  // Nothing can be written past this, in bytes.
  [[nodiscard]] virtual std::uint64_t capacity() const = 0;

  // The shortest run of zeros, in bytes, that is worth a zero() of its own.
  [[nodiscard]] virtual std::uint64_t zero_grain() const = 0;

  // Exactly these bytes, at `offset`. Throws Error.
  virtual Task<> write(std::uint64_t offset, Buffer buffer) = 0;

  // Afterwards `range` reads as zeros, whatever was there before. Throws Error.
  virtual Task<> zero(ByteRange range) = 0;

  // What completed before this call is on the medium when it ends. Throws Error.
  virtual Task<> flush() = 0;

  // A piece will never come: requests that wait for their turn behind it give up with an error.
  virtual void abandon() {}
};

}  // namespace io
