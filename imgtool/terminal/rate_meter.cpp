#include "imgtool/terminal/rate_meter.hpp"

#include <cmath>

namespace imgtool {
namespace {

constexpr double memory_s = 5;
constexpr double shortest_sample_s = 0.05;

}  // namespace

void RateMeter::start(double now) {
  *this = {};
  last_time_ = now;
}

void RateMeter::sample(std::uint64_t done, double now) {
  const double seconds = now - last_time_;
  if (seconds < shortest_sample_s) {
    return;
  }
  const double kept = std::exp(-seconds / memory_s);
  sum_ = sum_ * kept + static_cast<double>(done - last_done_) / seconds * (1 - kept);
  weight_ = weight_ * kept + (1 - kept);
  last_time_ = now;
  last_done_ = done;
}

double RateMeter::bytes_per_second() const { return weight_ > 0 ? sum_ / weight_ : 0; }

}  // namespace imgtool
