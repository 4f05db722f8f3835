// The ring: requests go in, completions come out, and the coroutine that waited goes on.
//
// Two engines stand behind this one interface: io_uring (uring_ring.cpp) and pread/pwrite on
// threads (thread_ring.cpp) for kernels and containers that have no io_uring. Everything but
// post() belongs to the thread that made the ring. Offsets and lengths are bytes.
//
// No request fails by exception: its result is a byte count or a negative errno, as the kernel
// gave it. Short counts, EINTR and EAGAIN are the caller's (see io/transfer.hpp).
#pragma once

#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

namespace io {

// A file as the ring knows it. `slot` is its place among the ring's registered files, or -1.
struct RingFile {
  int fd = -1;
  int slot = -1;
  bool cached = false;  // reads go through the page cache: the kernel waits and copies in them
};

// Memory as the ring knows it: `index` is the registered buffer that `bytes` lies in, or -1.
struct Buffer {
  std::span<std::byte> bytes;
  int index = -1;

  [[nodiscard]] Buffer first(std::size_t count) const { return {bytes.first(count), index}; }
  [[nodiscard]] Buffer subspan(std::size_t offset, std::size_t count) const {
    return {bytes.subspan(offset, count), index};
  }
};

struct Request {
  enum class Kind : std::uint8_t {
    nop,
    read,            // at `offset`; at the file's own position when offset is `no_offset`
    write,           // likewise
    allocate,        // fallocate(mode, offset, length)
    flush,           // fdatasync
    await_readable,  // until fd can be read, or `length` milliseconds: > 0, or -ETIME
    await_writable,
  };
  static constexpr std::uint64_t no_offset = ~std::uint64_t{0};

  Kind kind = Kind::nop;
  RingFile file{};
  std::uint64_t offset = 0;
  std::uint64_t length = 0;  // of read and write: Buffer::bytes.size()
  std::byte* data = nullptr;
  int buffer_index = -1;
  int mode = 0;
};

class Ring;

// One request, awaited. It lives in the frame of the coroutine that awaits it, and its address
// is what the kernel hands back, so it neither moves nor dies before it completes.
class Operation {
 public:
  Operation(Ring& ring, const Request& request) : ring_(ring), request_(request) {}
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;

  [[nodiscard]] bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> awaiting);
  // Bytes transferred (0 for flush and allocate), or a negative errno.
  [[nodiscard]] std::int64_t await_resume() const noexcept { return result_; }

  [[nodiscard]] const Request& request() const noexcept { return request_; }
  // For the engines: what came of it, and who waits.
  void complete(std::int64_t result) noexcept { result_ = result; }
  [[nodiscard]] std::coroutine_handle<> waiter() const noexcept { return waiter_; }

 private:
  Ring& ring_;
  Request request_;
  std::coroutine_handle<> waiter_;
  std::int64_t result_ = 0;
};

class Ring {
 public:
  using Clock = std::chrono::steady_clock;

  Ring() = default;
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  virtual ~Ring() = default;

  [[nodiscard]] virtual const char* engine() const noexcept = 0;  // "io_uring" or "threads"

  [[nodiscard]] Operation read(RingFile file, std::uint64_t offset, Buffer buffer);
  [[nodiscard]] Operation write(RingFile file, std::uint64_t offset, Buffer buffer);
  [[nodiscard]] Operation allocate(RingFile file, int mode, std::uint64_t offset,
                                   std::uint64_t length);
  [[nodiscard]] Operation flush(RingFile file);
  [[nodiscard]] Operation await_readable(int fd, std::chrono::milliseconds timeout);
  [[nodiscard]] Operation await_writable(int fd, std::chrono::milliseconds timeout);
  [[nodiscard]] Operation nop();

  // Makes requests on `fd` cheaper where the kernel can; otherwise slot is -1 and nothing is
  // lost. The file must stay open until forget().
  virtual RingFile remember(int fd) { return {fd, -1}; }
  virtual void forget(RingFile) {}
  // Registers memory, one set at a time. False: the kernel would not, use it unregistered.
  virtual bool register_buffers(std::span<const std::span<std::byte>>) { return false; }
  virtual void unregister_buffers() {}

  // Awaitable: goes on at or soon after `when`.
  struct Sleep {
    Ring& ring;
    Clock::time_point when;
    [[nodiscard]] bool await_ready() const noexcept { return Clock::now() >= when; }
    void await_suspend(std::coroutine_handle<> awaiting) { ring.add_sleeper(when, awaiting); }
    void await_resume() const noexcept {}
  };
  [[nodiscard]] Sleep sleep_until(Clock::time_point when) { return {*this, when}; }

  // Awaitable: goes on in the next turn of run_once(). For loops whose awaits may all be ready at
  // once: each of those grows the stack where the compiler makes no tail call (sanitizers).
  struct Yield {
    Ring& ring;
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> awaiting) { ring.schedule(awaiting); }
    void await_resume() const noexcept {}
  };
  [[nodiscard]] Yield yield() { return {*this}; }

  // Resumes `waiter` in the next turn of run_once(), not now: no recursion, a bounded stack.
  void schedule(std::coroutine_handle<> waiter) { ready_.push_back(waiter); }
  // The same from any thread.
  void post(std::coroutine_handle<> waiter);

  // Sends what was asked for, waits for something to happen or for `timeout`, resumes what
  // can go on.
  void run_once(std::chrono::milliseconds timeout);

 protected:
  friend class Operation;
  virtual void submit(Operation& operation) = 0;
  // Puts completed operations' waiters into `completed`. Waits when there is none, at most
  // `timeout`; returns at once after wake().
  virtual void reap(std::chrono::milliseconds timeout,
                    std::vector<std::coroutine_handle<>>& completed) = 0;
  virtual void wake() = 0;

 private:
  struct Sleeper {
    Clock::time_point when;
    std::coroutine_handle<> waiter;
    bool operator>(const Sleeper& other) const { return when > other.when; }
  };
  void add_sleeper(Clock::time_point when, std::coroutine_handle<> waiter);
  void take_posted();
  void take_sleepers();
  [[nodiscard]] std::chrono::milliseconds time_to_wait(std::chrono::milliseconds timeout) const;

  std::deque<std::coroutine_handle<>> ready_;
  std::vector<std::coroutine_handle<>> completed_;
  std::vector<Sleeper> sleepers_;  // a min-heap by time
  std::mutex posted_mutex_;
  std::vector<std::coroutine_handle<>> posted_;
};

enum class Engine : std::uint8_t { automatic, uring, threads };

struct RingOptions {
  Engine engine = Engine::automatic;
  unsigned entries = 64;  // requests in flight; more than that waits inside the ring
  unsigned threads = 16;  // of the threads engine
};

struct MadeRing {
  std::unique_ptr<Ring> ring;
  std::string
      note;  // why io_uring was not taken though it was built in and not forbidden by the caller
};

// Throws ErrorKind::unsupported when Engine::uring was asked for and the kernel has none.
MadeRing make_ring(const RingOptions& options);

}  // namespace io
