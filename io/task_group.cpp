#include "io/task_group.hpp"

namespace io {
namespace {
constexpr std::chrono::milliseconds tick_interval{100};
}

TaskGroup::Detached TaskGroup::carry(Task<> task) {
  try {
    co_await task;
  } catch (...) {
    if (!first_error_) first_error_ = std::current_exception();
  }
  if (--running_ == 0 && joiner_) ring_.schedule(std::exchange(joiner_, nullptr));
}

void TaskGroup::spawn(Task<> task) {
  ++running_;
  carry(std::move(task));
}

void TaskGroup::run(const std::function<void()>& tick) {
  auto last_tick = Ring::Clock::now();
  while (running_ > 0) {
    ring_.run_once(tick_interval);
    const auto now = Ring::Clock::now();
    if (tick && now - last_tick >= tick_interval) {
      last_tick = now;
      tick();
    }
  }
  rethrow_first_error();
}

Task<> TaskGroup::join() {
  Joined joined{*this};
  co_await joined;
  rethrow_first_error();
}

void TaskGroup::rethrow_first_error() {
  if (first_error_) std::rethrow_exception(std::exchange(first_error_, nullptr));
}

}  // namespace io
