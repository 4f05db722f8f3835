// The ring on plain system calls: every request is carried out by one of a few threads.
//
// For kernels without io_uring and containers that forbid it. Same promises as Ring.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "io/ring.hpp"

namespace io {

class ThreadRing final : public Ring {
 public:
  // At most `thread_count` requests are under way at once; threads start when first needed.
  explicit ThreadRing(unsigned thread_count);
  ~ThreadRing() override;

  [[nodiscard]] const char* engine() const noexcept override { return "threads"; }

 private:
  void submit(Operation& operation) override;
  void reap(std::chrono::milliseconds timeout,
            std::vector<std::coroutine_handle<>>& completed) override;
  void wake() override;
  void work();

  const unsigned thread_limit_;
  std::mutex mutex_;
  std::condition_variable work_waits_;
  std::condition_variable something_done_;
  std::deque<Operation*> queue_;
  std::vector<std::coroutine_handle<>> done_;
  unsigned idle_ = 0;
  bool woken_ = false;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace io
