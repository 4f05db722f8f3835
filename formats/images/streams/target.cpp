#include "formats/images/streams/target.hpp"

#include <algorithm>
#include <cassert>

#include "io/error.hpp"
#include "io/source.hpp"
#include "io/zero_run.hpp"

namespace formats::streams {
namespace {

io::FileTargetOptions new_stream_file() {
  io::FileTargetOptions options;
  options.starts_as_zeros = true;
  options.grows = true;
  return options;
}

}  // namespace

StreamTarget::StreamTarget(io::Ring& ring, io::File& file, std::unique_ptr<Encoder> encoder,
                           const StreamTargetOptions& options)
    : ring_(ring),
      file_(&file),
      file_target_(std::in_place, ring, file, io::stream_limit, new_stream_file()),
      output_(*file_target_),
      encoder_(std::move(encoder)),
      options_(options),
      sequencer_(ring),
      log_(output_) {
  log_.append(encoder_->begin());
}

StreamTarget::StreamTarget(io::Ring& ring, io::Target& pipe, std::unique_ptr<Encoder> encoder,
                           const StreamTargetOptions& options)
    : ring_(ring),
      output_(pipe),
      encoder_(std::move(encoder)),
      options_(options),
      sequencer_(ring),
      log_(output_) {
  log_.append(encoder_->begin());
}

void StreamTarget::abandon() {
  sequencer_.abandon();
  output_.abandon();
}

io::Task<> StreamTarget::run_on_worker(std::function<void()> work) {
  if (options_.workers == nullptr) {
    work();
  } else {
    co_await options_.workers->run(ring_, std::move(work));
  }
}

io::Task<> StreamTarget::take_turn(std::uint64_t offset) {
  const bool mine = co_await sequencer_.turn(offset);
  if (!mine) throw io::Error(io::ErrorKind::cancelled, name(), "an earlier piece is missing");
}

io::Task<> StreamTarget::write(std::uint64_t offset, io::Buffer buffer) {
  assert(offset % encoder_->block_bytes() == 0);
  try {
    co_await write_blocks(offset, buffer.bytes);
  } catch (...) {
    abandon();
    throw;
  }
}

io::Task<> StreamTarget::zero(io::ByteRange range) {
  assert(range.offset % encoder_->block_bytes() == 0);
  try {
    co_await write_zeros(range);
  } catch (...) {
    abandon();
    throw;
  }
}

io::Task<> StreamTarget::write_blocks(std::uint64_t offset, std::span<const std::byte> content) {
  std::vector<EncodedBlock> blocks;
  std::function<void()> work = [this, &blocks, content] {
    const std::size_t step = encoder_->block_bytes();
    for (std::size_t at = 0; at < content.size() && !sequencer_.abandoned(); at += step) {
      const auto part = content.subspan(at, std::min(step, content.size() - at));
      blocks.push_back(encoder_->encode(part, options_.stop));
    }
  };
  co_await run_on_worker(std::move(work));
  co_await take_turn(offset);
  for (const EncodedBlock& block : blocks) append(block);
  content_bytes_ += content.size();
  sequencer_.pass(offset + content.size());
  co_await log_.write_full_pieces();
}

EncodedBlock StreamTarget::zeros(std::uint64_t count) const {
  const std::vector<std::byte> content(count);
  return encoder_->encode(content, options_.stop);
}

// A long run is appended in steps, so that what is not yet written stays small.
io::Task<> StreamTarget::write_zeros(io::ByteRange range) {
  constexpr std::uint64_t blocks_at_once = 64;
  const std::uint64_t whole = encoder_->block_bytes();
  const std::uint64_t rest = range.length % whole;
  ZeroBlock full = zero_block_;
  EncodedBlock last;
  std::function<void()> work = [this, &full, &last, whole, rest, range] {
    if (full == nullptr && range.length >= whole) {
      full = std::make_shared<const EncodedBlock>(zeros(whole));
    }
    if (rest > 0) last = zeros(rest);
  };
  co_await run_on_worker(std::move(work));
  co_await take_turn(range.offset);
  if (full != nullptr) zero_block_ = full;
  for (std::uint64_t left = range.length / whole; left > 0;) {
    const std::uint64_t step = std::min(left, blocks_at_once);
    for (std::uint64_t i = 0; i < step; ++i) append(*full);
    left -= step;
    if (left > 0) co_await log_.write_full_pieces();
  }
  if (rest > 0) append(last);
  sequencer_.pass(range.end());
  co_await log_.write_full_pieces();
}

void StreamTarget::append(const EncodedBlock& block) {
  encoder_->note(block);
  log_.append(block.bytes);
}

io::Task<> StreamTarget::flush() { co_return; }

io::Task<> StreamTarget::finish() {
  assert(!options_.size || sequencer_.position() == *options_.size);
  log_.append(encoder_->end());
  co_await log_.finish();
  if (file_ == nullptr) co_return;
  file_->truncate(log_.position());  // the last sector was written whole
  if (const auto begin = encoder_->begin_when_ended(); !begin.empty()) file_->write_at(0, begin);
}

}  // namespace formats::streams
