// Holds a job to so many bytes a second.
#pragma once

#include <algorithm>
#include <cstdint>

#include "io/ring.hpp"

namespace io {

class RateLimiter {
 public:
  // 0: no limit.
  explicit RateLimiter(std::uint64_t bytes_per_second) : bytes_per_second_(bytes_per_second) {}

  // When the next `bytes` may start. What was not used in a pause is not saved up.
  Ring::Clock::time_point reserve(std::uint64_t bytes) {
    const auto now = Ring::Clock::now();
    if (bytes_per_second_ == 0) return now;
    const auto start = std::max(now, next_);
    const double seconds = static_cast<double>(bytes) / static_cast<double>(bytes_per_second_);
    next_ = start + std::chrono::duration_cast<Ring::Clock::duration>(
                        std::chrono::duration<double>(seconds));
    return start;
  }

 private:
  std::uint64_t bytes_per_second_;
  Ring::Clock::time_point next_{};
};

}  // namespace io
