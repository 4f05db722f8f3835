#include "io/uring_ring.hpp"

#ifdef IMGTOOL_NO_URING

namespace io {
const bool uring_is_built = false;

std::unique_ptr<Ring> make_uring_ring(unsigned, std::string& why_not) {
  why_not = "this build has no io_uring";
  return nullptr;
}
}  // namespace io

#else

#include <algorithm>
#include <array>
#include <cerrno>
#include <deque>
#include <optional>

#include <liburing.h>
#include <linux/magic.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "io/byte_range.hpp"
#include "io/error.hpp"
#include "io/syscall_threads.hpp"

namespace io {

const bool uring_is_built = true;

namespace {

constexpr unsigned registered_file_slots = 32;
constexpr unsigned most_threads = 16;
constexpr std::uint64_t smallest_heavy_read = 64 * KiB;

// The first flags the kernel takes: 6.1 has DEFER_TASKRUN, 5.19 COOP_TASKRUN. They spare an
// interrupt per completion.
int set_up(io_uring& ring, unsigned entries) {
  constexpr std::array<unsigned, 3> preferences = {
      IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, IORING_SETUP_COOP_TASKRUN, 0};
  int result = -EINVAL;
  for (const unsigned flags : preferences) {
    result = io_uring_queue_init(entries, &ring, flags);
    if (result != -EINVAL) return result;
  }
  return result;
}

// 5.6 has all of these; before that the threads engine is better than a half one.
bool has_what_we_need(io_uring& ring) {
  io_uring_probe* probe = io_uring_get_probe_ring(&ring);
  if (probe == nullptr) return false;
  bool all = true;
  for (const int operation :
       {IORING_OP_READ, IORING_OP_WRITE, IORING_OP_READ_FIXED, IORING_OP_WRITE_FIXED,
        IORING_OP_FALLOCATE, IORING_OP_FSYNC, IORING_OP_POLL_ADD, IORING_OP_LINK_TIMEOUT}) {
    all = all && io_uring_opcode_supported(probe, operation) != 0;
  }
  io_uring_free_probe(probe);
  return all;
}

// Where a FUSE file system without a page cache (FOPEN_DIRECT_IO) answers a request with fewer
// bytes than were asked for, io_uring asks for the rest at the place where it began, and says that
// all went well: wrong bytes (seen with Linux 6.18; fuse_direct_IO() leaves the position of a
// request as it was). read(2) and write(2) say how many bytes there were.
bool mixes_up_short_transfers(int fd) {
  struct statfs found {};
  return fstatfs(fd, &found) == 0 && found.f_type == FUSE_SUPER_MAGIC;
}

class UringRing final : public Ring {
 public:
  // Takes over an initialised ring.
  UringRing(const io_uring& ring, unsigned entries) : ring_(ring), capacity_(entries) {
    wake_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake_fd_ < 0) {
      const int error_number = errno;
      io_uring_queue_exit(&ring_);
      throw Error::system("eventfd", "io_uring", error_number);
    }
    slots_usable_ = io_uring_register_files_sparse(&ring_, registered_file_slots) == 0;
  }

  ~UringRing() override {
    threads_.reset();
    io_uring_queue_exit(&ring_);
    close(wake_fd_);
  }

  [[nodiscard]] const char* engine() const noexcept override { return "io_uring"; }

  RingFile remember(int fd) override {
    if (mixes_up_short_transfers(fd)) {
      by_syscalls_.push_back(fd);
      return {fd, -1};
    }
    if (!slots_usable_) return {fd, -1};
    for (unsigned slot = 0; slot < registered_file_slots; ++slot) {
      if ((slots_taken_ & (1U << slot)) != 0) continue;
      if (io_uring_register_files_update(&ring_, slot, &fd, 1) != 1) break;
      slots_taken_ |= 1U << slot;
      return {fd, static_cast<int>(slot)};
    }
    return {fd, -1};
  }

  void forget(RingFile file) override {
    if (file.slot < 0) {
      const auto found = std::find(by_syscalls_.begin(), by_syscalls_.end(), file.fd);
      if (found != by_syscalls_.end()) by_syscalls_.erase(found);
      return;
    }
    const auto slot = static_cast<unsigned>(file.slot);
    int none = -1;
    io_uring_register_files_update(&ring_, slot, &none, 1);
    slots_taken_ &= ~(1U << slot);
  }

  bool register_buffers(std::span<const std::span<std::byte> > buffers) override {
    std::vector<iovec> vectors;
    vectors.reserve(buffers.size());
    for (const auto& bytes : buffers) vectors.push_back({bytes.data(), bytes.size()});
    return io_uring_register_buffers(&ring_, vectors.data(),
                                     static_cast<unsigned>(vectors.size())) == 0;
  }

  void unregister_buffers() override { io_uring_unregister_buffers(&ring_); }

 private:
  void submit(Operation& operation) override {
    const int fd = operation.request().file.fd;
    if (std::find(by_syscalls_.begin(), by_syscalls_.end(), fd) != by_syscalls_.end()) {
      if (!threads_) {
        threads_.emplace(most_threads, [this](Operation& done) { post(done.waiter()); });
      }
      threads_->submit(operation);
      return;
    }
    // More than the kernel's queue holds waits here, so that a completion always has a place.
    if (in_flight_ >= capacity_) {
      waiting_.push_back(&operation);
      return;
    }
    ++in_flight_;
    prepare(operation);
  }

  void reap(std::chrono::milliseconds timeout,
            std::vector<std::coroutine_handle<> >& completed) override {
    if (!wake_armed_) arm_wake();
    __kernel_timespec limit{timeout.count() / 1000, (timeout.count() % 1000) * 1'000'000};
    io_uring_cqe* first = nullptr;
    const int result = io_uring_submit_and_wait_timeout(&ring_, &first, 1, &limit, nullptr);
    if (result < 0 && result != -ETIME && result != -EINTR && result != -EAGAIN &&
        result != -EBUSY) {
      throw Error::system("submit", "io_uring", -result);
    }
    collect(completed);
    while (!waiting_.empty() && in_flight_ < capacity_) {
      ++in_flight_;
      prepare(*waiting_.front());
      waiting_.pop_front();
    }
  }

  void wake() override { eventfd_write(wake_fd_, 1); }

  void collect(std::vector<std::coroutine_handle<> >& completed) {
    io_uring_cqe* completion = nullptr;
    while (io_uring_peek_cqe(&ring_, &completion) == 0) {
      const std::uint64_t tag = completion->user_data;
      const std::int64_t result = completion->res;
      io_uring_cqe_seen(&ring_, completion);
      if (tag == ignored_tag) continue;
      if (tag == wake_tag) {
        eventfd_t count = 0;
        eventfd_read(wake_fd_, &count);
        wake_armed_ = false;
        continue;
      }
      auto* operation = reinterpret_cast<Operation*>(tag);  // NOLINT(performance-no-int-to-ptr)
      operation->complete(timed_out(*operation, result) ? -ETIME : result);
      completed.push_back(operation->waiter());
      --in_flight_;
    }
  }

  // A poll that its linked timeout cancelled.
  static bool timed_out(const Operation& operation, std::int64_t result) {
    const auto kind = operation.request().kind;
    return result == -ECANCELED &&
           (kind == Request::Kind::await_readable || kind == Request::Kind::await_writable);
  }

  io_uring_sqe* next_entry(unsigned count_linked = 1) {
    if (io_uring_sq_space_left(&ring_) < count_linked) io_uring_submit(&ring_);
    io_uring_sqe* entry = io_uring_get_sqe(&ring_);
    if (entry == nullptr) throw Error::system("submit", "io_uring", EBUSY);
    return entry;
  }

  void arm_wake() {
    io_uring_sqe* entry = next_entry();
    io_uring_prep_poll_add(entry, wake_fd_, POLLIN);
    entry->user_data = wake_tag;
    wake_armed_ = true;
  }

  void prepare(Operation& operation) {
    const Request& request = operation.request();
    const bool polls = request.kind == Request::Kind::await_readable ||
                       request.kind == Request::Kind::await_writable;
    io_uring_sqe* entry = next_entry(polls ? 2 : 1);
    fill(*entry, request);
    entry->user_data = reinterpret_cast<std::uint64_t>(&operation);
    if (!polls) return;
    entry->flags |= IOSQE_IO_LINK;
    // One timeout value serves all: every caller polls with the same patience.
    poll_limit_ = {static_cast<std::int64_t>(request.length / 1000),
                   static_cast<std::int64_t>(request.length % 1000) * 1'000'000};
    io_uring_sqe* timeout = io_uring_get_sqe(&ring_);
    io_uring_prep_link_timeout(timeout, &poll_limit_, 0);
    timeout->user_data = ignored_tag;
    // The kernel copies the limit when it takes the entry, so take it before it can change.
    io_uring_submit(&ring_);
  }

  static void fill(io_uring_sqe& entry, const Request& request) {
    const bool registered = request.file.slot >= 0;
    const int file = registered ? request.file.slot : request.file.fd;
    const auto length = static_cast<unsigned>(request.length);
    switch (request.kind) {
      case Request::Kind::nop:
        io_uring_prep_nop(&entry);
        return;
      case Request::Kind::read:
        if (request.buffer_index >= 0) {
          io_uring_prep_read_fixed(&entry, file, request.data, length, request.offset,
                                   request.buffer_index);
        } else {
          io_uring_prep_read(&entry, file, request.data, length, request.offset);
        }
        break;
      case Request::Kind::write:
        if (request.buffer_index >= 0) {
          io_uring_prep_write_fixed(&entry, file, request.data, length, request.offset,
                                    request.buffer_index);
        } else {
          io_uring_prep_write(&entry, file, request.data, length, request.offset);
        }
        break;
      case Request::Kind::allocate:
        io_uring_prep_fallocate(&entry, file, request.mode, static_cast<off_t>(request.offset),
                                static_cast<off_t>(request.length));
        break;
      case Request::Kind::flush:
        io_uring_prep_fsync(&entry, file, IORING_FSYNC_DATASYNC);
        break;
      case Request::Kind::await_readable:
        io_uring_prep_poll_add(&entry, file, POLLIN);
        break;
      case Request::Kind::await_writable:
        io_uring_prep_poll_add(&entry, file, POLLOUT);
        break;
    }
    if (registered) entry.flags |= IOSQE_FIXED_FILE;
    // Else our one thread would fill the page cache and copy out of it, for all lanes: 0.7 GB/s
    // of a cold file, where the kernel's workers read 1.1 to 2.3.
    const bool heavy = request.file.cached && request.length >= smallest_heavy_read;
    if (heavy && request.kind == Request::Kind::read) entry.flags |= IOSQE_ASYNC;
  }

  static constexpr std::uint64_t wake_tag = 1;
  static constexpr std::uint64_t ignored_tag = 2;

  io_uring ring_;
  const unsigned capacity_;
  int wake_fd_ = -1;
  bool wake_armed_ = false;
  bool slots_usable_ = false;
  std::uint32_t slots_taken_ = 0;
  unsigned in_flight_ = 0;
  std::deque<Operation*> waiting_;
  __kernel_timespec poll_limit_{};
  std::vector<int> by_syscalls_;  // descriptors of files whose requests the threads carry out
  std::optional<SyscallThreads> threads_;
};

}  // namespace

std::unique_ptr<Ring> make_uring_ring(unsigned entries, std::string& why_not) {
  io_uring ring{};
  const int result = set_up(ring, entries);
  if (result == -ENOMEM) {
    why_not = "too little locked memory (ulimit -l)";
    return nullptr;
  }
  if (result < 0) {
    why_not = result == -EPERM ? "forbidden here (sysctl kernel.io_uring_disabled or a container)"
                               : errno_text(-result);
    return nullptr;
  }
  if (!has_what_we_need(ring)) {
    io_uring_queue_exit(&ring);
    why_not = "the kernel's io_uring is too old";
    return nullptr;
  }
  return std::make_unique<UringRing>(ring, entries);
}

}  // namespace io

#endif
