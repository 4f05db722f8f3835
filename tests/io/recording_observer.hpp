// Remembers what an observer is told.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "io/observer.hpp"

namespace io {

class RecordingObserver final : public CopyObserver {
 public:
  void begin(Phase phase, std::size_t target, std::optional<std::uint64_t> total) override {
    events_.push_back("begin " + name(phase, target));
    totals_[{phase, target}] = total;
  }
  void completed(Phase phase, std::size_t target, std::uint64_t bytes) override {
    bytes_[{phase, target}] += bytes;
  }
  void end(Phase phase, std::size_t target) override {
    events_.push_back("end " + name(phase, target));
  }
  void failed(std::size_t target, std::string_view why) override {
    events_.push_back("failed " + std::to_string(target));
    reasons_.emplace_back(why);
  }
  void tick() override { ++ticks_; }

  // "begin write 0", "end flush 1", "failed 0" in the order they came.
  [[nodiscard]] const std::vector<std::string>& events() const { return events_; }
  [[nodiscard]] const std::vector<std::string>& reasons() const { return reasons_; }
  [[nodiscard]] std::optional<std::uint64_t> total(Phase phase, std::size_t target) {
    return totals_[{phase, target}];
  }
  [[nodiscard]] std::uint64_t bytes(Phase phase, std::size_t target) {
    return bytes_[{phase, target}];
  }
  [[nodiscard]] unsigned ticks() const { return ticks_; }

 private:
  using Key = std::pair<Phase, std::size_t>;

  static std::string name(Phase phase, std::size_t target) {
    constexpr const char* names[] = {"write", "flush", "verify", "read"};
    return std::string(names[static_cast<int>(phase)]) + ' ' + std::to_string(target);
  }

  std::vector<std::string> events_;
  std::vector<std::string> reasons_;
  std::map<Key, std::optional<std::uint64_t>> totals_;
  std::map<Key, std::uint64_t> bytes_;
  unsigned ticks_ = 0;
};

}  // namespace io
