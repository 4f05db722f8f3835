#include "io/straggler_detector.hpp"

#include <algorithm>

namespace io {
namespace {
// Long enough to see past a device's hiccup, short enough to spare a batch most of the wait.
constexpr std::chrono::seconds period{2};
}  // namespace

StragglerDetector::StragglerDetector(std::size_t targets, unsigned lanes,
                                     Ring::Clock::time_point now)
    : waited_(targets), lanes_(lanes), period_start_(now) {}

void StragglerDetector::waited_for(std::size_t target, Ring::Clock::duration alone) {
  waited_[target] += alone;
}

std::optional<std::size_t> StragglerDetector::straggler(Ring::Clock::time_point now) {
  const auto elapsed = now - period_start_;
  if (elapsed < period) return std::nullopt;
  period_start_ = now;
  const auto most = std::max_element(waited_.begin(), waited_.end());
  const auto index = static_cast<std::size_t>(most - waited_.begin());
  const bool held_all_back = most != waited_.end() && *most > elapsed * lanes_ / 2;
  std::fill(waited_.begin(), waited_.end(), Ring::Clock::duration::zero());
  return held_all_back ? std::optional(index) : std::nullopt;
}

}  // namespace io
