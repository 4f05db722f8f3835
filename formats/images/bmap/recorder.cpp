#include "formats/images/bmap/recorder.hpp"

#include "io/error.hpp"
#include "io/zero_run.hpp"

namespace formats::bmap {
namespace {
constexpr std::size_t grain = 64 * io::KiB;
}

// What lies before `offset` and was not read holds no data, and will not be read.
bool Recorder::is_next(std::uint64_t offset) {
  for (std::uint64_t at = position_; at < offset;) {
    const io::Extent extent = image_.extent_at(at);
    if (extent.kind == io::ExtentKind::data) return false;
    at = extent.range.end();
  }
  return true;
}

io::Task<std::size_t> Recorder::read(io::ByteRange range, io::Buffer buffer) {
  std::size_t count = 0;
  try {
    count = co_await image_.read(range, buffer);
    // Behind a stream's end there is nothing to note, and lanes that waited would wait for ever.
    while (count > 0 && !is_next(range.offset) && !abandoned_) co_await turns_.wait();
    if (!abandoned_ && count > 0) {
      auto work = [this, offset = range.offset, bytes = buffer.bytes.first(count)] {
        note(offset, bytes);
      };
      co_await thread_.run(ring_, std::move(work));
      position_ = range.offset + count;
    }
  } catch (...) {
    abandoned_ = true;
    turns_.wake_all();
    throw;
  }
  turns_.wake_all();
  co_return count;
}

// On the thread, one call at a time.
void Recorder::note(std::uint64_t offset, std::span<const std::byte> bytes) {
  for (const io::Run run : io::zero_runs(bytes, grain)) {
    const std::uint64_t begin = offset + run.offset;
    if (digest_ && (run.zero || map_.mapped.back().bytes.end() != begin)) end_range();
    if (run.zero) continue;
    if (!digest_) {
      map_.mapped.push_back({{begin, 0}, {}});
      digest_.emplace(map_.algorithm);
    }
    map_.mapped.back().bytes.length += run.length;
    digest_->update(bytes.subspan(run.offset, run.length));
  }
}

void Recorder::end_range() {
  map_.mapped.back().checksum = digest_->hex();
  digest_.reset();
}

Bmap Recorder::take(std::uint64_t image_size) {
  if (digest_) end_range();
  map_.image_size = image_size;
  return std::move(map_);
}

}  // namespace formats::bmap
