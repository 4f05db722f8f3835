#include "formats/images/simg/image.hpp"

#include <algorithm>
#include <cassert>

#include <fmt/format.h>

#include "formats/bytes/checksum.hpp"
#include "formats/bytes/crc32.hpp"
#include "io/error.hpp"

namespace formats::simg {
namespace {

constexpr std::size_t piece_bytes = 1 * io::MiB;

// Writes the pattern of `chunk` as it is from `offset` of the disk on.
void fill_with(const Chunk& chunk, std::uint64_t offset, std::span<std::byte> out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::uint64_t place = (offset - chunk.content.offset + i) % 4;
    out[i] = static_cast<std::byte>(chunk.fill >> (8 * place));
  }
}

// The checksum of the disk up to a place that ascends.
class RunningChecksum {
 public:
  RunningChecksum(const io::File& file, const io::StopFlag* stop)
      : file_(file), stop_(stop), buffer_(piece_bytes) {}

  void add(const Chunk& chunk, io::ByteRange range) {
    if (chunk.kind != ChunkKind::raw) {
      value_ = crc32_of_words(value_, chunk.fill, range.length);
      return;
    }
    for (std::uint64_t done = 0; done < range.length;) {
      if (stop_ != nullptr) io::throw_if_stopped(*stop_, file_.path());
      const auto piece =
          std::span(buffer_).first(std::min<std::uint64_t>(buffer_.size(), range.length - done));
      const std::uint64_t at = chunk.stored_at + (range.offset + done - chunk.content.offset);
      if (file_.read_at(at, piece) < piece.size()) {
        throw io::Error::format(file_.path(), at, "ends here; was it changed?");
      }
      value_ = crc32(value_, piece);
      done += piece.size();
    }
  }

  [[nodiscard]] std::uint32_t value() const noexcept { return value_; }

 private:
  const io::File& file_;
  const io::StopFlag* stop_;
  std::vector<std::byte> buffer_;
  std::uint32_t value_ = 0;
};

}  // namespace

SimgImage::SimgImage(io::Ring& ring, io::File file, const OpenOptions& options)
    : file_(std::move(file)),
      layout_(read_layout(file_)),
      stored_(ring, file_, file_.size(), false) {
  if (!options.layout_only) check_checksums(options.stop);
}

void SimgImage::check_checksums(const io::StopFlag* stop) const {
  RunningChecksum running(file_, stop);
  auto chunk = layout_.chunks.begin();
  std::uint64_t position = 0;
  for (const Checksum& checksum : layout_.checksums) {
    while (position < checksum.content_end) {
      const std::uint64_t end = std::min(chunk->content.end(), checksum.content_end);
      running.add(*chunk, io::range_between(position, end));
      position = end;
      if (position == chunk->content.end()) ++chunk;
    }
    if (checksum_fits(checksum.value, running.value())) continue;
    throw io::Error::format(
        name(), checksum.stored_at,
        fmt::format("the checksum of the first {} bytes of the disk should be {:08x}, but is "
                    "{:08x}: the image is damaged",
                    checksum.content_end, checksum.value, running.value()));
  }
}

std::size_t SimgImage::chunk_at(std::uint64_t offset) {
  assert(offset < layout_.content_size);
  const auto& chunks = layout_.chunks;
  if (chunks[last_chunk_].content.contains(offset)) return last_chunk_;
  const auto behind = std::upper_bound(
      chunks.begin(), chunks.end(), offset,
      [](std::uint64_t place, const Chunk& chunk) { return place < chunk.content.offset; });
  last_chunk_ = static_cast<std::size_t>(behind - chunks.begin()) - 1;
  return last_chunk_;
}

io::Extent SimgImage::extent_at(std::uint64_t offset) {
  const Chunk& chunk = layout_.chunks[chunk_at(offset)];
  io::Extent extent{io::range_between(offset, chunk.content.end()), io::ExtentKind::data};
  if (chunk.kind == ChunkKind::nothing) extent.kind = io::ExtentKind::hole;
  if (chunk.kind == ChunkKind::fill && chunk.fill == 0) extent.kind = io::ExtentKind::zero;
  return extent;
}

Placement SimgImage::placement_at(std::uint64_t offset) {
  const Chunk& chunk = layout_.chunks[chunk_at(offset)];
  Placement placement;
  placement.range = io::range_between(offset, chunk.content.end());
  placement.present = chunk.kind != ChunkKind::nothing;
  placement.zero = extent_at(offset).reads_as_zero();
  placement.data = !placement.zero;
  placement.compressed = chunk.kind == ChunkKind::fill && placement.data;
  if (chunk.kind == ChunkKind::raw) {
    placement.offset = chunk.stored_at + (offset - chunk.content.offset);
  }
  return placement;
}

io::Task<std::size_t> SimgImage::read(io::ByteRange range, io::Buffer buffer) {
  for (std::uint64_t done = 0; done < range.length;) {
    const std::uint64_t offset = range.offset + done;
    const Chunk& chunk = layout_.chunks[chunk_at(offset)];
    const std::uint64_t length = std::min(range.length - done, chunk.content.end() - offset);
    const io::Buffer out = buffer.subspan(done, length);
    if (chunk.kind == ChunkKind::raw) {
      const io::ByteRange place{chunk.stored_at + (offset - chunk.content.offset), length};
      co_await stored_.read(place, out);
    } else {
      fill_with(chunk, offset, out.bytes);
    }
    done += length;
  }
  co_return range.length;
}

}  // namespace formats::simg
