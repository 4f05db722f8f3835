#include "io/syscall_threads.hpp"

#include <cerrno>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

namespace io {
namespace {

std::int64_t result_of(ssize_t returned) { return returned < 0 ? -errno : returned; }

std::int64_t await_events(int fd, short events, std::uint64_t timeout_ms) {
  pollfd waited{fd, events, 0};
  const int ready = poll(&waited, 1, static_cast<int>(timeout_ms));
  return ready == 0 ? -ETIME : result_of(ready);
}

std::int64_t read_now(const Request& request) {
  if (request.offset == Request::no_offset) {
    return result_of(read(request.file.fd, request.data, request.length));
  }
  return result_of(
      pread(request.file.fd, request.data, request.length, static_cast<off_t>(request.offset)));
}

std::int64_t write_now(const Request& request) {
  if (request.offset == Request::no_offset) {
    return result_of(write(request.file.fd, request.data, request.length));
  }
  return result_of(
      pwrite(request.file.fd, request.data, request.length, static_cast<off_t>(request.offset)));
}

std::int64_t carry_out(const Request& request) {
  switch (request.kind) {
    case Request::Kind::nop:
      return 0;
    case Request::Kind::read:
      return read_now(request);
    case Request::Kind::write:
      return write_now(request);
    case Request::Kind::allocate:
      return result_of(fallocate(request.file.fd, request.mode, static_cast<off_t>(request.offset),
                                 static_cast<off_t>(request.length)));
    case Request::Kind::flush:
      return result_of(fdatasync(request.file.fd));
    case Request::Kind::await_readable:
      return await_events(request.file.fd, POLLIN, request.length);
    case Request::Kind::await_writable:
      return await_events(request.file.fd, POLLOUT, request.length);
  }
  return -EINVAL;
}

}  // namespace

SyscallThreads::~SyscallThreads() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_waits_.notify_all();
  for (auto& thread : threads_) thread.join();
}

void SyscallThreads::submit(Operation& operation) {
  bool start_thread = false;
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(&operation);
    start_thread = queue_.size() > idle_ && threads_.size() < limit_;
  }
  if (start_thread) {
    threads_.emplace_back([this] { work(); });
  } else {
    work_waits_.notify_one();
  }
}

void SyscallThreads::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    ++idle_;
    work_waits_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    --idle_;
    if (queue_.empty()) return;
    Operation* operation = queue_.front();
    queue_.pop_front();
    lock.unlock();
    operation->complete(carry_out(operation->request()));
    done_(*operation);
    lock.lock();
  }
}

}  // namespace io
