#include "io/worker_pool.hpp"

namespace io {

WorkerPool::~WorkerPool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_waits_.notify_all();
  for (auto& thread : threads_) thread.join();
}

void WorkerPool::Run::await_suspend(std::coroutine_handle<> awaiting) {
  waiter_ = awaiting;
  pool_.take(*this);
}

void WorkerPool::take(Run& run) {
  {
    const std::lock_guard lock(mutex_);
    while (threads_.size() < thread_count_) threads_.emplace_back([this] { serve(); });
    queue_.push_back(&run);
  }
  work_waits_.notify_one();
}

void WorkerPool::Run::carry_out() {
  try {
    work_();
  } catch (...) {
    error_ = std::current_exception();
  }
  // After this the awaiting coroutine may be gone, and this object with it.
  ring_.post(waiter_);
}

void WorkerPool::serve() {
  std::unique_lock lock(mutex_);
  while (true) {
    work_waits_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) return;
    Run* next = queue_.front();
    queue_.pop_front();
    lock.unlock();
    next->carry_out();
    lock.lock();
  }
}

}  // namespace io
