// Finds the target that holds all the others back.
//
// Targets of about the same speed pace each other and the source is read once. One that is
// slower than half would make a whole batch wait, so it is told apart here and finishes in a
// pass of its own. Not thread-safe.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "io/ring.hpp"

namespace io {

class StragglerDetector {
 public:
  StragglerDetector(std::size_t targets, unsigned lanes, Ring::Clock::time_point now);

  // A lane had nothing to wait for but `target`, for this long.
  void waited_for(std::size_t target, Ring::Clock::duration alone);

  // The target that took more than half of all lanes' time in the period that just ended, if a
  // period ended and there is one.
  std::optional<std::size_t> straggler(Ring::Clock::time_point now);

 private:
  std::vector<Ring::Clock::duration> waited_;
  unsigned lanes_;
  Ring::Clock::time_point period_start_;
};

}  // namespace io
