#include "formats/images/bmap/source.hpp"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "io/buffer_pool.hpp"
#include "io/error.hpp"
#include "io/zero_run.hpp"

namespace formats::bmap {
namespace {
constexpr std::uint64_t piece_bytes = 1 * io::MiB;
}

BmapSource::BmapSource(io::Ring& ring, io::Source& image, const Bmap& map, std::string map_name,
                       Unmapped unmapped, bool check)
    : ring_(ring),
      image_(image),
      map_(map),
      map_name_(std::move(map_name)),
      unmapped_(unmapped),
      check_(check),
      turns_(ring) {
  if (image.size() && *image.size() != map.image_size) refuse_size(fmt::to_string(*image.size()));
}

void BmapSource::refuse_size(const std::string& size) const {
  throw io::Error(io::ErrorKind::mismatch, image_.name(),
                  fmt::format("has {} bytes, but its block map {} is of an image with {}; is it "
                              "the right one? --bmap none does without",
                              size, map_name_, map_.image_size));
}

io::Extent BmapSource::extent_at(std::uint64_t offset) {
  const Range* range = map_.range_from(offset);
  if (range != nullptr && range->bytes.contains(offset)) {
    io::Extent extent{io::range_between(offset, range->bytes.end()), io::ExtentKind::data};
    if (check_) return extent;  // zeros count as much
    const io::Extent inner = image_.extent_at(offset);
    extent.kind = inner.kind;
    extent.range = io::intersection(extent.range, inner.range);
    return extent;
  }
  const std::uint64_t end = range == nullptr ? map_.image_size : range->bytes.offset;
  io::Extent extent{io::range_between(offset, end), io::ExtentKind::hole};
  if (unmapped_ == Unmapped::skipped) extent.kind = io::ExtentKind::skip;
  return extent;
}

void BmapSource::abandon() {
  abandoned_ = true;
  turns_.wake_all();
}

io::Task<std::size_t> BmapSource::read(io::ByteRange range, io::Buffer buffer) {
  try {
    co_await read_image(range, buffer);
    blank_unmapped(range, buffer.bytes);
    if (check_) co_await check_chunk(range, buffer.bytes.first(range.length));
  } catch (...) {
    abandon();
    throw;
  }
  co_return range.length;
}

// A stream is read without gaps, and to its end, which may have something to say.
io::Task<> BmapSource::read_image(io::ByteRange range, io::Buffer buffer) {
  if (image_.seekable()) {
    co_await image_.read(range, buffer);
    co_return;
  }
  while (!is_next(asked_for_, range.offset) && !abandoned_) co_await turns_.wait();
  if (abandoned_) throw io::Error(io::ErrorKind::cancelled, name(), "an earlier piece is missing");
  const std::uint64_t begin = asked_for_;
  const bool last = !map_.touches(io::range_between(range.end(), map_.image_size));
  asked_for_ = last ? map_.image_size : range.end();
  turns_.wake_all();
  co_await skip_to(begin, range.offset);
  const std::size_t count = co_await image_.read(range, buffer);
  if (count < range.length) refuse_size(fmt::to_string(range.offset + count));
  if (!last) co_return;
  co_await skip_to(range.end(), map_.image_size);
  co_await check_end(map_.image_size);
}

io::Task<> BmapSource::skip_to(std::uint64_t begin, std::uint64_t end) {
  if (begin >= end) co_return;
  const io::AlignedMemory memory(piece_bytes);
  while (begin < end) {
    const io::ByteRange piece{begin, std::min(piece_bytes, end - begin)};
    const std::size_t count = co_await image_.read(piece, memory.buffer());
    if (count < piece.length) refuse_size(fmt::to_string(begin + count));
    look_outside(begin, memory.bytes().first(count));
    begin = piece.end();
  }
}

io::Task<> BmapSource::check_end(std::uint64_t position) {
  if (image_.size()) co_return;
  const io::AlignedMemory memory(io::buffer_alignment);
  const io::ByteRange behind{position, io::buffer_alignment};
  const std::size_t count = co_await image_.read(behind, memory.buffer());
  if (count > 0) refuse_size("more");
}

void BmapSource::blank_unmapped(io::ByteRange range, std::span<std::byte> bytes) const {
  for (std::uint64_t at = range.offset; at < range.end();) {
    const Range* next = map_.range_from(at);
    const std::uint64_t begin =
        next == nullptr ? range.end() : std::min(next->bytes.offset, range.end());
    if (begin > at) {
      const auto outside = bytes.subspan(at - range.offset, begin - at);
      look_outside(at, outside);
      std::memset(outside.data(), 0, outside.size());
    }
    at = next == nullptr ? range.end() : next->bytes.end();
  }
}

void BmapSource::look_outside(std::uint64_t offset, std::span<const std::byte> bytes) const {
  if (!refuse_outside_ || io::is_zero(bytes)) return;
  throw io::Error(io::ErrorKind::mismatch, name(),
                  fmt::format("has data at offset {} and after that its block map {} leaves out: "
                              "the map is older than the image, or of another one (--bmap none "
                              "burns all of the image, --bmap FILE what the map names)",
                              offset, map_name_));
}

void BmapSource::check_outside(const std::function<void()>& tick) {
  if (!refuse_outside_ || !image_.seekable()) return;
  const io::AlignedMemory memory(piece_bytes);
  for (std::uint64_t at = 0; at < map_.image_size;) {
    const Range* next = map_.range_from(at);
    if (next != nullptr && next->bytes.contains(at)) {
      at = next->bytes.end();
      continue;
    }
    const std::uint64_t end = next == nullptr ? map_.image_size : next->bytes.offset;
    const io::Extent extent = image_.extent_at(at);
    const std::uint64_t known = std::min(extent.range.end(), end);
    if (extent.kind != io::ExtentKind::data) {
      at = known;
      continue;
    }
    const io::ByteRange piece{at, std::min(piece_bytes, known - at)};
    io::run_task(ring_, image_.read(piece, memory.buffer()), tick);
    look_outside(piece.offset, memory.bytes().first(piece.length));
    tick();
    at = piece.end();
  }
}

// --- checksums ------------------------------------------------------------------------------

io::Task<> BmapSource::check_chunk(io::ByteRange range, std::span<const std::byte> bytes) {
  while (!is_next(checked_, range.offset) && !abandoned_) co_await turns_.wait();
  if (abandoned_) throw io::Error(io::ErrorKind::cancelled, name(), "an earlier piece is missing");
  auto work = [this, range, bytes] { digest_chunk(range, bytes); };
  co_await thread_.run(ring_, std::move(work));
  checked_ = range.end();
  turns_.wake_all();
}

// On the thread, one call at a time.
void BmapSource::digest_chunk(io::ByteRange range, std::span<const std::byte> bytes) {
  for (std::uint64_t at = range.offset; at < range.end();) {
    const Range* next = map_.range_from(at);
    if (next == nullptr || next->bytes.offset >= range.end()) return;
    const io::ByteRange piece = io::intersection(next->bytes, io::range_between(at, range.end()));
    if (!next->checksum.empty()) {
      if (piece.offset == next->bytes.offset) digest_.emplace(map_.algorithm);
      digest_->update(bytes.subspan(piece.offset - range.offset, piece.length));
      if (piece.end() == next->bytes.end()) finish_range(*next);
    }
    at = piece.end();
  }
}

void BmapSource::finish_range(const Range& range) {
  const std::string found = digest_->hex();
  digest_.reset();
  if (found == range.checksum) return;
  throw io::Error(io::ErrorKind::mismatch, name(),
                  fmt::format("the {} bytes at offset {} are not what the block map {} says they "
                              "are ({} {}, not {})",
                              range.bytes.length, range.bytes.offset, map_name_,
                              io::digest_name(map_.algorithm), found, range.checksum));
}

}  // namespace formats::bmap
