#include "io/transfer.hpp"

#include <cerrno>
#include <chrono>

#include "io/error.hpp"

namespace io {
namespace {

constexpr std::chrono::milliseconds transfer_retry_pause{5};
// O_DIRECT transfers stop in the middle of a sector only where the file ends.
constexpr std::size_t smallest_sector = 512;

bool is_transient(std::int64_t result) { return result == -EINTR || result == -EAGAIN; }

}  // namespace

Task<std::size_t> read_full(Ring& ring, const NamedFile& file, std::uint64_t offset,
                            Buffer buffer) {
  const std::size_t wanted = buffer.bytes.size();
  std::size_t done = 0;
  while (done < wanted) {
    const Buffer rest = buffer.subspan(done, wanted - done);
    const std::int64_t result = co_await ring.read(file.file, offset + done, rest);
    if (is_transient(result)) {
      co_await ring.sleep_until(Ring::Clock::now() + transfer_retry_pause);
      continue;
    }
    if (result < 0) {
      throw Error::system("read", file.path, static_cast<int>(-result),
                          ByteRange{offset + done, wanted - done});
    }
    done += static_cast<std::size_t>(result);
    if (result == 0 || done % smallest_sector != 0) break;
  }
  co_return done;
}

Task<> write_full(Ring& ring, const NamedFile& file, std::uint64_t offset, Buffer buffer) {
  const std::size_t wanted = buffer.bytes.size();
  std::size_t done = 0;
  while (done < wanted) {
    const Buffer rest = buffer.subspan(done, wanted - done);
    const std::int64_t result = co_await ring.write(file.file, offset + done, rest);
    if (is_transient(result)) {
      co_await ring.sleep_until(Ring::Clock::now() + transfer_retry_pause);
      continue;
    }
    if (result <= 0) {
      // A write of nothing is a device that ends here.
      throw Error::system("write", file.path, result < 0 ? static_cast<int>(-result) : ENOSPC,
                          ByteRange{offset + done, wanted - done});
    }
    done += static_cast<std::size_t>(result);
  }
}

Task<> flush_file(Ring& ring, const NamedFile& file) {
  while (true) {
    const std::int64_t result = co_await ring.flush(file.file);
    if (result == -EINTR) continue;
    if (result < 0) throw Error::system("flush", file.path, static_cast<int>(-result));
    co_return;
  }
}

}  // namespace io
