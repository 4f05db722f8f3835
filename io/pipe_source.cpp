#include "io/pipe_source.hpp"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>

#include "io/error.hpp"
#include "io/pipe.hpp"

namespace io {

PipeSource::PipeSource(Ring& ring, File& file, const StopFlag& stop,
                       std::vector<std::byte> already_read)
    : ring_(ring),
      file_{{file.fd(), -1}, file.path()},
      stop_(stop),
      already_read_(std::move(already_read)),
      turns_(ring) {
  fcntl(file.fd(), F_SETPIPE_SZ, pipe_size);
}

Extent PipeSource::extent_at(std::uint64_t offset) {
  return {range_between(offset, size_.value_or(std::uint64_t{1} << 63)), ExtentKind::data};
}

Task<std::size_t> PipeSource::read(ByteRange range, Buffer buffer) {
  while (position_ < range.offset && !size_) co_await turns_.wait();
  std::size_t count = 0;
  try {
    if (!size_) count = co_await fill(range, buffer);
  } catch (...) {
    size_ = position_;  // the others shall not wait for what will not come
    turns_.wake_all();
    throw;
  }
  position_ += count;
  keep_last(buffer.bytes.first(count));
  if (count < range.length && !size_) size_ = position_;
  turns_.wake_all();
  co_return count;
}

void PipeSource::keep_last(std::span<const std::byte> bytes) {
  const auto fresh = bytes.last(std::min(bytes.size(), most_last_bytes));
  const std::size_t kept = std::min(last_bytes_.size(), most_last_bytes - fresh.size());
  last_bytes_.erase(last_bytes_.begin(), last_bytes_.end() - static_cast<std::ptrdiff_t>(kept));
  last_bytes_.insert(last_bytes_.end(), fresh.begin(), fresh.end());
}

Task<std::size_t> PipeSource::fill(ByteRange range, Buffer buffer) {
  std::size_t done = 0;
  if (range.offset < already_read_.size()) {
    const auto begin = already_read_.begin() + static_cast<std::ptrdiff_t>(range.offset);
    done = std::min<std::size_t>(already_read_.size() - range.offset, range.length);
    std::copy_n(begin, done, buffer.bytes.begin());
  }
  while (done < range.length && stop_.load() == 0) {
    const std::int64_t ready = co_await ring_.await_readable(file_.file.fd, pipe_patience);
    if (ready == -ETIME || ready == -EINTR) continue;
    const Buffer rest = buffer.subspan(done, range.length - done);
    const std::int64_t count = co_await ring_.read(file_.file, Request::no_offset, rest);
    if (count == -EINTR || count == -EAGAIN) continue;
    if (count < 0) {
      throw Error::system("read", file_.path, static_cast<int>(-count),
                          ByteRange{range.offset + done, range.length - done});
    }
    if (count == 0) break;
    done += static_cast<std::size_t>(count);
  }
  co_return done;
}

}  // namespace io
