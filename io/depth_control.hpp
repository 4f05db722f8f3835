// How many lanes of a copy are at work: fewer on a slow device, so that little is under way when a
// stop comes. Requests that the kernel has cannot be taken back.
//
// Begins low and rises by one with each fast request; a slow one halves it. On a device that keeps
// up all lanes are at work after as many requests. Belongs to the ring's thread.
#pragma once

#include <algorithm>
#include <chrono>

#include "io/ring.hpp"
#include "io/task.hpp"
#include "io/task_group.hpp"

namespace io {

class DepthControl {
 public:
  // `lanes` in all; all of them are at work from the start unless `adaptive`.
  DepthControl(Ring& ring, unsigned lanes, bool adaptive)
      : waiting_(ring), lanes_(lanes), depth_(adaptive ? std::min(first_depth, lanes) : lanes) {}

  [[nodiscard]] unsigned depth() const noexcept { return depth_; }

  // Ends when `lane`, counted from 0, may take a chunk, or there is none any more.
  Task<> admission(unsigned lane) {
    while (lane >= depth_ && !finished_) co_await waiting_.wait();
  }
  // A request of a lane took so long.
  void completed(Ring::Clock::duration latency) {
    if (latency >= slow) {
      depth_ = std::max(std::min(least_depth, lanes_), depth_ / 2);
    } else if (latency < fast && depth_ < lanes_) {
      ++depth_;
      waiting_.wake_all();
    }
  }
  // A lane found nothing more to do: so will those that wait.
  void finish() {
    finished_ = true;
    waiting_.wake_all();
  }

 private:
  static constexpr unsigned first_depth = 4;
  static constexpr unsigned least_depth = 2;
  static constexpr std::chrono::milliseconds slow{1000};
  static constexpr std::chrono::milliseconds fast{250};

  WaitList waiting_;
  unsigned lanes_;
  unsigned depth_;
  bool finished_ = false;
};

}  // namespace io
