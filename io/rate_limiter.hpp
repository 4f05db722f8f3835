// Holds a job to so many bytes a second.
#pragma once

#include <algorithm>
#include <cstdint>

#include "io/observer.hpp"
#include "io/ring.hpp"
#include "io/task.hpp"

namespace io {

class RateLimiter {
 public:
  // 0: no limit.
  explicit RateLimiter(std::uint64_t bytes_per_second) : bytes_per_second_(bytes_per_second) {}

  // Goes on when the next `bytes` may start, or within 200 ms of `stop`. What was not used in a
  // pause is not saved up.
  Task<> pace(Ring& ring, std::uint64_t bytes, const StopFlag& stop) {
    const auto start = reserve(bytes);
    while (Ring::Clock::now() < start && stop.load() == 0) {
      co_await ring.sleep_until(std::min(start, Ring::Clock::now() + longest_pause));
    }
  }

 private:
  static constexpr std::chrono::milliseconds longest_pause{200};

  Ring::Clock::time_point reserve(std::uint64_t bytes) {
    const auto now = Ring::Clock::now();
    if (bytes_per_second_ == 0) return now;
    const auto start = std::max(now, next_);
    const double seconds = static_cast<double>(bytes) / static_cast<double>(bytes_per_second_);
    next_ = start + std::chrono::duration_cast<Ring::Clock::duration>(
                        std::chrono::duration<double>(seconds));
    return start;
  }

  std::uint64_t bytes_per_second_;
  Ring::Clock::time_point next_{};
};

}  // namespace io
