// The ring on plain system calls: every request is carried out by one of a few threads.
//
// For kernels without io_uring and containers that forbid it. Same promises as Ring.
#pragma once

#include <condition_variable>
#include <mutex>
#include <vector>

#include "io/ring.hpp"
#include "io/syscall_threads.hpp"

namespace io {

class ThreadRing final : public Ring {
 public:
  // At most `thread_count` requests are under way at once; threads start when first needed.
  explicit ThreadRing(unsigned thread_count);

  [[nodiscard]] const char* engine() const noexcept override { return "threads"; }

 private:
  void submit(Operation& operation) override;
  void reap(std::chrono::milliseconds timeout,
            std::vector<std::coroutine_handle<>>& completed) override;
  void wake() override;

  std::mutex mutex_;
  std::condition_variable something_done_;
  std::vector<std::coroutine_handle<>> done_;
  bool woken_ = false;
  SyscallThreads threads_;  // last: they end before what they report to
};

}  // namespace io
