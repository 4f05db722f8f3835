#include "io/pipe_target.hpp"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>

#include "io/buffer_pool.hpp"
#include "io/error.hpp"
#include "io/pipe.hpp"

namespace io {
namespace {
// A small piece fits a pipe that has room, so that no write waits long for a slow reader.
constexpr std::size_t piece = 64 * KiB;
}  // namespace

PipeTarget::PipeTarget(Ring& ring, File& file, const StopFlag& stop)
    : ring_(ring), file_{{file.fd(), -1}, file.path()}, stop_(stop), sequencer_(ring) {
  fcntl(file.fd(), F_SETPIPE_SZ, pipe_size);
}

Task<> PipeTarget::take_turn(std::uint64_t offset) {
  const bool mine = co_await sequencer_.turn(offset);
  if (!mine) throw Error(ErrorKind::cancelled, file_.path, "an earlier piece is missing");
}

Task<> PipeTarget::write(std::uint64_t offset, Buffer buffer) {
  co_await take_turn(offset);
  for (std::size_t done = 0; done < buffer.bytes.size(); done += piece) {
    const auto length = std::min(piece, buffer.bytes.size() - done);
    co_await send(offset + done, buffer.subspan(done, length));
  }
  sequencer_.pass(offset + buffer.bytes.size());
}

Task<> PipeTarget::zero(ByteRange range) {
  co_await take_turn(range.offset);
  const AlignedMemory zeros(piece);
  for (std::uint64_t done = 0; done < range.length; done += piece) {
    const auto length = std::min<std::uint64_t>(piece, range.length - done);
    co_await send(range.offset + done, zeros.buffer().first(length));
  }
  sequencer_.pass(range.end());
}

// io_uring waits even on a non-blocking pipe, so room is waited for before each write.
Task<> PipeTarget::send(std::uint64_t offset, Buffer buffer) {
  std::size_t done = 0;
  while (done < buffer.bytes.size()) {
    const std::int64_t ready = co_await ring_.await_writable(file_.file.fd, pipe_patience);
    if (ready == -ETIME && stop_.load() == 0) continue;
    if (ready == -ETIME) {
      abandon();
      throw Error(ErrorKind::cancelled, file_.path, "stopped while its reader took nothing");
    }
    const Buffer rest = buffer.subspan(done, buffer.bytes.size() - done);
    const std::int64_t count = co_await ring_.write(file_.file, Request::no_offset, rest);
    if (count == -EINTR || count == -EAGAIN) continue;
    if (count < 0) {
      abandon();
      throw Error::system("write", file_.path, static_cast<int>(-count),
                          ByteRange{offset + done, rest.bytes.size()});
    }
    done += static_cast<std::size_t>(count);
  }
}

Task<> PipeTarget::flush() {
  const std::int64_t result = co_await ring_.flush(file_.file);
  // A pipe has nothing to flush to.
  if (result < 0 && result != -EINVAL && result != -EROFS) {
    throw Error::system("flush", file_.path, static_cast<int>(-result));
  }
}

}  // namespace io
