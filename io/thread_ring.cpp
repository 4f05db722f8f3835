#include "io/thread_ring.hpp"

namespace io {

ThreadRing::ThreadRing(unsigned thread_count)
    : threads_(thread_count, [this](Operation& operation) {
        {
          const std::lock_guard lock(mutex_);
          done_.push_back(operation.waiter());
        }
        something_done_.notify_one();
      }) {}

void ThreadRing::submit(Operation& operation) { threads_.submit(operation); }

void ThreadRing::reap(std::chrono::milliseconds timeout,
                      std::vector<std::coroutine_handle<>>& completed) {
  std::unique_lock lock(mutex_);
  something_done_.wait_for(lock, timeout, [this] { return woken_ || !done_.empty(); });
  woken_ = false;
  completed.swap(done_);
}

void ThreadRing::wake() {
  {
    const std::lock_guard lock(mutex_);
    woken_ = true;
  }
  something_done_.notify_one();
}

}  // namespace io
