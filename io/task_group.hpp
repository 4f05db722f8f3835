// Runs tasks side by side on one ring, and the ways they wait for each other.
//
// All of it belongs to the ring's thread.
#pragma once

#include <chrono>
#include <coroutine>
#include <deque>
#include <exception>
#include <functional>

#include "io/ring.hpp"
#include "io/task.hpp"

namespace io {

// Tasks that were started and are not awaited one by one. They must all end before the group
// dies: call run() from outside, or co_await join() from inside a coroutine.
class TaskGroup {
 public:
  explicit TaskGroup(Ring& ring) : ring_(ring) {}
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;
  ~TaskGroup() { assert(running_ == 0); }

  // Starts `task` now, up to its first wait.
  void spawn(Task<> task);

  // Drives the ring until all tasks ended, calling `tick` at least every 100 ms, then throws
  // the first error of any task. An error of one task does not stop the others: they share a
  // flag or a plan that does.
  void run(const std::function<void()>& tick = {});

  // The same from inside a coroutine; the code that runs the ring ticks.
  Task<> join();

 private:
  struct Detached {
    struct promise_type {
      Detached get_return_object() noexcept { return {}; }
      std::suspend_never initial_suspend() noexcept { return {}; }
      std::suspend_never final_suspend() noexcept { return {}; }
      void return_void() noexcept {}
      void unhandled_exception() noexcept { std::terminate(); }
    };
  };
  Detached carry(Task<> task);
  void rethrow_first_error();

  struct Joined {
    TaskGroup& group;
    [[nodiscard]] bool await_ready() const noexcept { return group.running_ == 0; }
    void await_suspend(std::coroutine_handle<> awaiting) noexcept { group.joiner_ = awaiting; }
    void await_resume() const noexcept {}
  };

  Ring& ring_;
  unsigned running_ = 0;
  std::coroutine_handle<> joiner_;
  std::exception_ptr first_error_;
};

// Runs one task to its end and gives its value.
template <class T>
T run_task(Ring& ring, Task<T> task, const std::function<void()>& tick = {});

// Waiters that go on, in the order they came, when wake_all() is called.
class WaitList {
 public:
  explicit WaitList(Ring& ring) : ring_(ring) {}

  struct Wait {
    WaitList& list;
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> awaiting) { list.waiters_.push_back(awaiting); }
    void await_resume() const noexcept {}
  };
  // Await in a loop over the condition: others may run first.
  [[nodiscard]] Wait wait() { return {*this}; }

  void wake_one() {
    if (waiters_.empty()) return;
    ring_.schedule(waiters_.front());
    waiters_.pop_front();
  }
  void wake_all() {
    while (!waiters_.empty()) wake_one();
  }

 private:
  Ring& ring_;
  std::deque<std::coroutine_handle<>> waiters_;
};

template <class T>
T run_task(Ring& ring, Task<T> task, const std::function<void()>& tick) {
  std::optional<T> value;
  const auto store = [](Task<T> inner, std::optional<T>& out) -> Task<> {
    out.emplace(co_await inner);
  };
  TaskGroup group(ring);
  group.spawn(store(std::move(task), value));
  group.run(tick);
  return std::move(*value);
}

inline void run_task(Ring& ring, Task<> task, const std::function<void()>& tick = {}) {
  TaskGroup group(ring);
  group.spawn(std::move(task));
  group.run(tick);
}

}  // namespace io
