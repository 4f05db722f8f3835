#include "formats/images/zst/target.hpp"

#include <algorithm>
#include <cassert>

#include "formats/images/zst/label.hpp"
#include "formats/images/zst/zstd.hpp"
#include "io/error.hpp"
#include "io/xxh64.hpp"
#include "io/zero_run.hpp"

namespace formats::zst {

namespace {

io::FileTargetOptions new_file() {
  io::FileTargetOptions options;
  options.starts_as_zeros = true;
  options.grows = true;
  return options;
}

}  // namespace

ZstTarget::ZstTarget(io::Ring& ring, io::File& file, std::optional<std::uint64_t> size,
                     const ZstOptions& options)
    : ring_(ring),
      file_(&file),
      file_target_(std::in_place, ring, file, io::stream_limit, new_file()),
      output_(*file_target_),
      size_(size),
      options_(options),
      sequencer_(ring),
      log_(output_) {
  begin();
}

ZstTarget::ZstTarget(io::Ring& ring, io::Target& pipe, std::optional<std::uint64_t> size,
                     const ZstOptions& options)
    : ring_(ring), output_(pipe), size_(size), options_(options), sequencer_(ring), log_(output_) {
  begin();
}

void ZstTarget::begin() {
  if (file_ == nullptr && !size_) return;
  const auto label = make_label(size_.value_or(0));
  log_.append(label);
  entries_.push_back({static_cast<std::uint32_t>(label.size()), 0, 0});
}

void ZstTarget::abandon() {
  sequencer_.abandon();
  output_.abandon();
}

// On any thread.
void ZstTarget::encode(std::span<const std::byte> content, std::vector<Piece>& pieces) const {
  pieces.reserve(content.size() / frame_bytes + 1);
  for (std::size_t at = 0; at < content.size(); at += frame_bytes) {
    const auto part = content.subspan(at, std::min<std::size_t>(frame_bytes, content.size() - at));
    Piece& piece = pieces.emplace_back();
    piece.content_bytes = static_cast<std::uint32_t>(part.size());
    if (!io::is_zero(part)) piece.frame = encode_frame(part, options_.level);
  }
}

io::Task<> ZstTarget::take_turn(std::uint64_t offset) {
  const bool mine = co_await sequencer_.turn(offset);
  if (!mine) throw io::Error(io::ErrorKind::cancelled, name(), "an earlier piece is missing");
}

io::Task<> ZstTarget::write(std::uint64_t offset, io::Buffer buffer) {
  assert(offset % frame_bytes == 0);
  try {
    co_await write_frames(offset, buffer.bytes);
  } catch (...) {
    abandon();
    throw;
  }
}

io::Task<> ZstTarget::write_frames(std::uint64_t offset, std::span<const std::byte> content) {
  std::vector<Piece> pieces;
  if (options_.workers == nullptr) {
    encode(content, pieces);
  } else {
    std::function<void()> work = [this, &pieces, content] {
      if (!sequencer_.abandoned()) encode(content, pieces);
    };
    co_await options_.workers->run(ring_, std::move(work));
  }
  co_await take_turn(offset);
  for (const Piece& piece : pieces) append_piece(piece);
  sequencer_.pass(offset + content.size());
  co_await log_.write_full_pieces();
}

io::Task<> ZstTarget::zero(io::ByteRange range) {
  assert(range.offset % frame_bytes == 0);
  try {
    co_await take_turn(range.offset);
    append_zeros(range.length);
    sequencer_.pass(range.end());
    co_await log_.write_full_pieces();
  } catch (...) {
    abandon();
    throw;
  }
}

void ZstTarget::append_piece(const Piece& piece) {
  if (piece.frame.empty()) {
    append_zeros(piece.content_bytes);
    return;
  }
  if (pending_zeros_ > 0) append_zero_frame();
  content_bytes_ += piece.content_bytes;
  append_frame(piece.frame, piece.content_bytes);
}

// Frames of zeros are filled from the start of each run, so that they do not depend on the pieces
// in which it comes.
void ZstTarget::append_zeros(std::uint64_t count) {
  while (count > 0) {
    const std::uint64_t step = std::min(count, zero_frame_bytes - pending_zeros_);
    pending_zeros_ += step;
    count -= step;
    if (pending_zeros_ == zero_frame_bytes) append_zero_frame();
  }
}

void ZstTarget::append_zero_frame() {
  const auto size = static_cast<std::uint32_t>(pending_zeros_);
  pending_zeros_ = 0;
  const auto [known, made] = zero_checksums_.try_emplace(size);
  if (made) known->second = static_cast<std::uint32_t>(io::xxh64_of_zeros(size));
  append_frame(make_zero_frame(size, known->second), size);
}

void ZstTarget::append_frame(std::span<const std::byte> frame, std::uint32_t content_bytes) {
  const auto checksum = frame_checksum(frame);
  assert(checksum.has_value());
  log_.append(frame);
  entries_.push_back({static_cast<std::uint32_t>(frame.size()), content_bytes, *checksum});
}

io::Task<> ZstTarget::flush() { co_return; }

io::Task<> ZstTarget::finish() {
  assert(!size_ || sequencer_.position() == *size_);
  if (pending_zeros_ > 0) append_zero_frame();
  if (entries_.size() > SeekTable::most_frames) {
    throw io::Error(io::ErrorKind::unsupported, name(), "the image is too long for a seek table");
  }
  log_.append(make_seek_table(entries_));
  co_await log_.finish();
  if (file_ == nullptr) co_return;
  if (!size_) {
    auto label = make_label(sequencer_.position());
    const io::Buffer buffer{label};
    co_await output_.write(0, buffer);
  }
  file_->truncate(log_.position());  // the last sector was written whole
}

}  // namespace formats::zst
