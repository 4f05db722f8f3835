#include "io/ring.hpp"

#include <algorithm>
#include <functional>

#include "io/error.hpp"
#include "io/thread_ring.hpp"
#include "io/uring_ring.hpp"

namespace io {

void Operation::await_suspend(std::coroutine_handle<> awaiting) {
  waiter_ = awaiting;
  ring_.submit(*this);
}

Operation Ring::read(RingFile file, std::uint64_t offset, Buffer buffer) {
  return {*this,
          {Request::Kind::read, file, offset, buffer.bytes.size(), buffer.bytes.data(),
           buffer.index, 0}};
}

Operation Ring::write(RingFile file, std::uint64_t offset, Buffer buffer) {
  return {*this,
          {Request::Kind::write, file, offset, buffer.bytes.size(), buffer.bytes.data(),
           buffer.index, 0}};
}

Operation Ring::allocate(RingFile file, int mode, std::uint64_t offset, std::uint64_t length) {
  return {*this, {Request::Kind::allocate, file, offset, length, nullptr, -1, mode}};
}

Operation Ring::flush(RingFile file) {
  return {*this, {Request::Kind::flush, file, 0, 0, nullptr, -1, 0}};
}

Operation Ring::await_readable(int fd, std::chrono::milliseconds timeout) {
  return {*this,
          {Request::Kind::await_readable,
           {fd, -1},
           0,
           static_cast<std::uint64_t>(timeout.count()),
           nullptr,
           -1,
           0}};
}

Operation Ring::await_writable(int fd, std::chrono::milliseconds timeout) {
  return {*this,
          {Request::Kind::await_writable,
           {fd, -1},
           0,
           static_cast<std::uint64_t>(timeout.count()),
           nullptr,
           -1,
           0}};
}

Operation Ring::nop() { return {*this, {}}; }

void Ring::post(std::coroutine_handle<> waiter) {
  // The lock is held until wake() is done: once it is free, the waiter may go on and end the ring.
  const std::lock_guard lock(posted_mutex_);
  posted_.push_back(waiter);
  wake();
}

void Ring::add_sleeper(Clock::time_point when, std::coroutine_handle<> waiter) {
  sleepers_.push_back({when, waiter});
  std::push_heap(sleepers_.begin(), sleepers_.end(), std::greater<>());
}

void Ring::take_sleepers() {
  const auto now = Clock::now();
  while (!sleepers_.empty() && sleepers_.front().when <= now) {
    ready_.push_back(sleepers_.front().waiter);
    std::pop_heap(sleepers_.begin(), sleepers_.end(), std::greater<>());
    sleepers_.pop_back();
  }
}

void Ring::take_posted() {
  const std::lock_guard lock(posted_mutex_);
  ready_.insert(ready_.end(), posted_.begin(), posted_.end());
  posted_.clear();
}

std::chrono::milliseconds Ring::time_to_wait(std::chrono::milliseconds timeout) const {
  if (!ready_.empty()) return std::chrono::milliseconds(0);
  if (sleepers_.empty()) return timeout;
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(sleepers_.front().when - Clock::now());
  return std::clamp(left, std::chrono::milliseconds(0), timeout);
}

void Ring::run_once(std::chrono::milliseconds timeout) {
  completed_.clear();
  reap(time_to_wait(timeout), completed_);
  ready_.insert(ready_.end(), completed_.begin(), completed_.end());
  take_posted();
  take_sleepers();
  // Only those that are ready now: one that schedules another must not keep us from reaping.
  for (std::size_t turns = ready_.size(); turns > 0; --turns) {
    const auto waiter = ready_.front();
    ready_.pop_front();
    waiter.resume();
  }
}

MadeRing make_ring(const RingOptions& options) {
  MadeRing made;
  if (options.engine != Engine::threads) {
    made.ring = make_uring_ring(options.entries, made.note);
    if (made.ring) return made;
    if (options.engine == Engine::uring) {
      throw Error(ErrorKind::unsupported, "", "io_uring is not available: " + made.note);
    }
    if (!uring_is_built) made.note.clear();  // no news to the user of such a build
  }
  made.ring = std::make_unique<ThreadRing>(options.threads);
  return made;
}

}  // namespace io
