// A ring whose answers the test decides: short counts, EINTR, a kernel without PUNCH_HOLE.
#pragma once

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <functional>
#include <optional>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include "io/ring.hpp"

namespace io {

class ScriptedRing final : public Ring {
 public:
  // The result of a request; nothing: the kernel shall give it.
  using Answer = std::function<std::optional<std::int64_t>(const Request&)>;

  explicit ScriptedRing(Answer answer) : answer_(std::move(answer)) {}

  [[nodiscard]] const char* engine() const noexcept override { return "scripted"; }
  [[nodiscard]] const std::vector<Request>& requests() const { return requests_; }
  [[nodiscard]] std::size_t count(Request::Kind kind) const {
    std::size_t found = 0;
    for (const Request& request : requests_) found += request.kind == kind ? 1 : 0;
    return found;
  }

 private:
  void submit(Operation& operation) override {
    const Request& request = operation.request();
    requests_.push_back(request);
    const auto answer = answer_(request);
    operation.complete(answer ? *answer : carry_out(request));
    done_.push_back(operation.waiter());
  }
  void reap(std::chrono::milliseconds timeout,
            std::vector<std::coroutine_handle<>>& completed) override {
    // What worker threads post wakes nothing here, so look again soon.
    if (done_.empty()) std::this_thread::sleep_for(std::min(timeout, longest_sleep));
    completed.swap(done_);
  }
  void wake() override {}

  static constexpr std::chrono::milliseconds longest_sleep{1};

  static std::int64_t carry_out(const Request& request) {
    const auto offset = static_cast<off_t>(request.offset);
    const auto length = static_cast<off_t>(request.length);
    std::int64_t result = 0;
    switch (request.kind) {
      case Request::Kind::read:
        result = pread(request.file.fd, request.data, request.length, offset);
        break;
      case Request::Kind::write:
        result = pwrite(request.file.fd, request.data, request.length, offset);
        break;
      case Request::Kind::allocate:
        result = fallocate(request.file.fd, request.mode, offset, length);
        break;
      case Request::Kind::flush:
        result = fdatasync(request.file.fd);
        break;
      default:
        break;
    }
    return result < 0 ? -errno : result;
  }

  Answer answer_;
  std::vector<Request> requests_;
  std::vector<std::coroutine_handle<>> done_;
};

}  // namespace io
