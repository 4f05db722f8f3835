// An observer that passes on what it hears, and knows how long each target was written.
#pragma once

#include <chrono>
#include <optional>
#include <vector>

#include "io/observer.hpp"

namespace imgtool {

class WriteClock final : public io::CopyObserver {
 public:
  // `next` outlives it.
  WriteClock(io::CopyObserver& next, std::size_t targets) : next_(next), spans_(targets) {}

  [[nodiscard]] double seconds(std::size_t target) const { return spans_[target].seconds; }

  void begin(io::Phase phase, std::size_t target, std::optional<std::uint64_t> total) override {
    if (phase == io::Phase::write && target < spans_.size()) spans_[target].since = Clock::now();
    next_.begin(phase, target, total);
  }
  void completed(io::Phase phase, std::size_t target, std::uint64_t bytes) override {
    if (phase == io::Phase::write && target < spans_.size()) stop(target, true);
    next_.completed(phase, target, bytes);
  }
  void end(io::Phase phase, std::size_t target) override {
    if (phase == io::Phase::write && target < spans_.size()) stop(target, false);
    next_.end(phase, target);
  }
  void failed(std::size_t target, std::string_view why) override { next_.failed(target, why); }
  void tick() override { next_.tick(); }

 private:
  using Clock = std::chrono::steady_clock;
  struct Span {
    std::optional<Clock::time_point> since;
    double seconds = 0;
  };

  // Up to the last byte: a target that is done waits for the others.
  void stop(std::size_t target, bool goes_on) {
    Span& span = spans_[target];
    if (!span.since || !goes_on) {
      span.since.reset();
      return;
    }
    const auto now = Clock::now();
    span.seconds += std::chrono::duration<double>(now - *span.since).count();
    span.since = now;
  }

  io::CopyObserver& next_;
  std::vector<Span> spans_;  // for each target
};

}  // namespace imgtool
