// A few threads that carry out requests by plain system calls, one each at a time.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "io/ring.hpp"

namespace io {

class SyscallThreads {
 public:
  // Is called on one of the threads when an operation is complete.
  using Done = std::function<void(Operation&)>;

  // At most `limit` requests are under way at once; threads start when first needed.
  SyscallThreads(unsigned limit, Done done) : limit_(limit), done_(std::move(done)) {}
  SyscallThreads(const SyscallThreads&) = delete;
  SyscallThreads& operator=(const SyscallThreads&) = delete;
  // Nothing may be under way.
  ~SyscallThreads();

  void submit(Operation& operation);

 private:
  void work();

  const unsigned limit_;
  const Done done_;
  std::mutex mutex_;
  std::condition_variable work_waits_;
  std::deque<Operation*> queue_;
  unsigned idle_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace io
