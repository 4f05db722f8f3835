#include "io/sequential_reader.hpp"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "io/error.hpp"
#include "io/pipe.hpp"

namespace io {

SequentialReader::SequentialReader(const File& file, std::vector<std::byte> already_read,
                                   const StopFlag* stop)
    : file_(file), already_read_(std::move(already_read)), stop_(stop) {
  const FileKind kind = file.status().kind;
  // A caller that moved the file's own position means what follows it.
  seekable_ = (kind == FileKind::regular || kind == FileKind::block_device) &&
              lseek(file.fd(), 0, SEEK_CUR) == 0;
  if (seekable_) {
    posix_fadvise(file.fd(), static_cast<off_t>(file.window_offset()),
                  static_cast<off_t>(file.size()), POSIX_FADV_SEQUENTIAL);
  } else {
    fcntl(file.fd(), F_SETPIPE_SZ, pipe_size);
  }
}

std::size_t SequentialReader::read(std::span<std::byte> buffer) {
  if (stop_ != nullptr) throw_if_stopped(*stop_, file_.path());
  std::size_t count = 0;
  if (position_ < already_read_.size()) {
    count = std::min<std::size_t>(buffer.size(), already_read_.size() - position_);
    std::copy_n(already_read_.begin() + static_cast<std::ptrdiff_t>(position_), count,
                buffer.begin());
  } else {
    count = seekable_ ? file_.read_at(position_, buffer) : read_pipe(buffer);
  }
  position_ += count;
  return count;
}

std::size_t SequentialReader::read_pipe(std::span<std::byte> buffer) const {
  while (true) {
    if (stop_ != nullptr) throw_if_stopped(*stop_, file_.path());
    pollfd waiting{file_.fd(), POLLIN, 0};
    if (poll(&waiting, 1, static_cast<int>(pipe_patience.count())) <= 0) continue;  // or a signal
    const ssize_t count = ::read(file_.fd(), buffer.data(), buffer.size());
    if (count >= 0) return static_cast<std::size_t>(count);
    if (errno == EINTR || errno == EAGAIN) continue;
    throw Error::system("read", file_.path(), errno, ByteRange{position_, buffer.size()});
  }
}

std::vector<std::byte> read_start(const File& file, std::size_t count, const StopFlag* stop) {
  SequentialReader reader(file, {}, stop);
  std::vector<std::byte> start(count);
  start.resize(read_fully(reader, start));
  return start;
}

}  // namespace io
