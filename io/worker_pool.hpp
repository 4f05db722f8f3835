// Threads for work that takes the processor: digests, compression. They start with the first
// work, so a pool that turns out not to be needed costs nothing.
//
// Work is handed over by awaiting run(); the awaiting coroutine goes on, on its ring's thread,
// when the work is done. Callers bound how much they hand over: a lane has one piece at a time.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "io/ring.hpp"

namespace io {

class WorkerPool {
 public:
  explicit WorkerPool(unsigned threads) : thread_count_(threads) {}
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;
  // Nothing may be under way.
  ~WorkerPool();

  // Awaitable: runs `work` on one of the threads. What it throws is thrown to the awaiter.
  class Run {
   public:
    Run(WorkerPool& pool, Ring& ring, std::function<void()> work)
        : pool_(pool), ring_(ring), work_(std::move(work)) {}
    Run(const Run&) = delete;
    Run& operator=(const Run&) = delete;

    [[nodiscard]] bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> awaiting);
    void await_resume() const {
      if (error_) std::rethrow_exception(error_);
    }

   private:
    friend class WorkerPool;
    void carry_out();

    WorkerPool& pool_;
    Ring& ring_;
    std::function<void()> work_;
    std::coroutine_handle<> waiter_;
    std::exception_ptr error_;
  };
  [[nodiscard]] Run run(Ring& ring, std::function<void()> work) {
    return {*this, ring, std::move(work)};
  }

 private:
  void take(Run& run);
  void serve();

  const unsigned thread_count_;
  std::mutex mutex_;
  std::condition_variable work_waits_;
  std::deque<Run*> queue_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace io
