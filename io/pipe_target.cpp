#include "io/pipe_target.hpp"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>

#include "io/buffer_pool.hpp"
#include "io/error.hpp"

namespace io {
namespace {
// A small piece fits a pipe that has room, so that no write waits long for a slow reader.
constexpr std::size_t piece = 64 * KiB;
constexpr int pipe_size = 1 << 20;  // fewer wake-ups; the kernel may grant less
constexpr std::chrono::milliseconds patience{200};
}  // namespace

PipeTarget::PipeTarget(Ring& ring, File& file, const StopFlag& stop)
    : ring_(ring), file_{{file.fd(), -1}, file.path()}, stop_(stop), turns_(ring) {
  fcntl(file.fd(), F_SETPIPE_SZ, pipe_size);
}

Task<> PipeTarget::take_turn(std::uint64_t offset) {
  while (position_ != offset && !abandoned_) co_await turns_.wait();
  if (abandoned_) throw Error(ErrorKind::cancelled, file_.path, "an earlier piece is missing");
}

void PipeTarget::end_turn() { turns_.wake_all(); }

Task<> PipeTarget::write(std::uint64_t offset, Buffer buffer) {
  co_await take_turn(offset);
  for (std::size_t done = 0; done < buffer.bytes.size(); done += piece) {
    const auto length = std::min(piece, buffer.bytes.size() - done);
    co_await send(buffer.subspan(done, length));
  }
  end_turn();
}

Task<> PipeTarget::zero(ByteRange range) {
  co_await take_turn(range.offset);
  const AlignedMemory zeros(piece);
  for (std::uint64_t done = 0; done < range.length; done += piece) {
    co_await send(zeros.buffer().first(std::min<std::uint64_t>(piece, range.length - done)));
  }
  end_turn();
}

// io_uring waits even on a non-blocking pipe, so room is waited for before each write.
Task<> PipeTarget::send(Buffer buffer) {
  std::size_t done = 0;
  while (done < buffer.bytes.size()) {
    const std::int64_t ready = co_await ring_.await_writable(file_.file.fd, patience);
    if (ready == -ETIME && stop_.load() == 0) continue;
    if (ready == -ETIME) {
      abandon();
      throw Error(ErrorKind::cancelled, file_.path, "stopped while nobody read it");
    }
    const Buffer rest = buffer.subspan(done, buffer.bytes.size() - done);
    const std::int64_t count = co_await ring_.write(file_.file, Request::no_offset, rest);
    if (count == -EINTR || count == -EAGAIN) continue;
    if (count < 0) {
      abandon();
      throw Error::system("write", file_.path, static_cast<int>(-count),
                          ByteRange{position_, rest.bytes.size()});
    }
    done += static_cast<std::size_t>(count);
    position_ += static_cast<std::uint64_t>(count);
  }
}

Task<> PipeTarget::flush() {
  const std::int64_t result = co_await ring_.flush(file_.file);
  // A pipe has nothing to flush to.
  if (result < 0 && result != -EINVAL && result != -EROFS) {
    throw Error::system("flush", file_.path, static_cast<int>(-result));
  }
}

void PipeTarget::abandon() {
  abandoned_ = true;
  turns_.wake_all();
}

}  // namespace io
