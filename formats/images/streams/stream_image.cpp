#include "formats/images/streams/stream_image.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "formats/images/streams/xz.hpp"
#include "formats/images/zst/image.hpp"
#include "io/error.hpp"

namespace formats::streams {
namespace {
constexpr std::uint64_t endless = std::uint64_t{1} << 63;
}

StreamImage::StreamImage(io::Ring& ring, std::unique_ptr<io::File> file, Format format,
                         Content content)
    : ring_(ring),
      file_(std::move(file)),
      format_(format),
      stated_size_(content.size),
      content_(std::move(content.bytes)),
      turns_(ring),
      size_(content.size) {}

io::Extent StreamImage::extent_at(std::uint64_t offset) {
  return {io::range_between(offset, size_.value_or(endless)), io::ExtentKind::data};
}

Placement StreamImage::placement_at(std::uint64_t offset) {
  Placement placement;
  placement.range = extent_at(offset).range;
  placement.present = placement.data = placement.compressed = true;
  return placement;
}

io::Task<std::size_t> StreamImage::read(io::ByteRange range, io::Buffer buffer) {
  while (handed_out_ < range.offset && !ended_) co_await turns_.wait();
  if (ended_) co_return 0;
  handed_out_ = range.end();
  turns_.wake_all();
  std::size_t count = 0;
  try {
    // The one thread takes them in the order in which they are handed out.
    auto work = [this, &count, out = buffer.bytes.first(range.length)] { count = decode(out); };
    co_await thread_.run(ring_, std::move(work));
  } catch (...) {
    ended_ = true;  // the others shall not wait for what will not come
    turns_.wake_all();
    throw;
  }
  if (count < range.length && !ended_) {
    ended_ = true;
    if (!size_) size_ = range.offset + count;
    turns_.wake_all();
  }
  co_return count;
}

std::size_t StreamImage::decode(std::span<std::byte> out) {
  if (broken_) return 0;
  broken_ = true;  // unless all goes well
  const std::size_t count = io::read_fully(*content_, out);
  decoded_ += count;
  check_size(count < out.size());
  broken_ = false;
  return count;
}

// Where the size is known no lane reads on behind it, so the end is looked for here.
void StreamImage::check_size(bool at_end) {
  if (!stated_size_) return;
  std::array<std::byte, 1> more{};
  const bool too_long =
      decoded_ > *stated_size_ || (decoded_ == *stated_size_ && content_->read(more) != 0);
  if (!too_long && !(at_end && decoded_ < *stated_size_)) return;
  throw io::Error(io::ErrorKind::format, name(),
                  fmt::format("holds {} bytes, not the {} that it says it holds",
                              too_long ? "more" : fmt::to_string(decoded_), *stated_size_));
}

std::optional<std::uint64_t> stated_content_size(const io::File& file, Format format) {
  if (file.status().kind != io::FileKind::regular) return std::nullopt;
  if (format == Format::xz) return xz_content_size(file);
  if (format == Format::zst) return zst::stated_content_size(file);
  return std::nullopt;
}

}  // namespace formats::streams
