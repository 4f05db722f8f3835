// Bytes a second, smoothed: what the last seconds say, and from the first sample on.
#pragma once

#include <cstdint>

namespace imgtool {

// Samples weigh less the older they are (exponentially, over about five seconds). A plain moving
// average of that kind starts at zero and lies for its first seconds; dividing by the weight
// gathered so far corrects that. Times are seconds of any clock that only goes forward.
class RateMeter {
 public:
  void start(double now);
  void sample(std::uint64_t done, double now);
  [[nodiscard]] double bytes_per_second() const;

 private:
  double last_time_ = 0;
  std::uint64_t last_done_ = 0;
  double sum_ = 0;
  double weight_ = 0;
};

}  // namespace imgtool
