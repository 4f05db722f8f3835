#include "formats/images/block_target.hpp"

#include <algorithm>
#include <cassert>

#include "io/digest.hpp"
#include "io/error.hpp"
#include "io/zero_run.hpp"

namespace formats {
namespace {

constexpr std::uint64_t largest_file = (std::uint64_t{1} << 63) - 1;
constexpr std::uint64_t largest_piece = 2 * io::MiB;  // so that many lanes have buffers of it

io::FileTargetOptions new_file() {
  io::FileTargetOptions options;
  options.starts_as_zeros = true;
  options.grows = true;
  return options;
}

}  // namespace

BlockTarget::BlockTarget(io::Ring& ring, io::File& file, std::uint64_t size,
                         std::unique_ptr<BlockLayout> layout)
    : output_(file),
      file_(ring, file, largest_file, new_file()),
      size_(size),
      layout_(std::move(layout)),
      piece_bytes_(std::min(layout_->block_size(), largest_piece)),
      lead_(std::max<std::size_t>(layout_->lead().size(), 1)),
      sequencer_(ring) {
  const auto lead = layout_->lead();
  std::copy(lead.begin(), lead.end(), lead_.bytes().begin());
}

io::Task<> BlockTarget::take_turn(std::uint64_t offset) {
  const bool mine = co_await sequencer_.turn(offset);
  if (!mine) throw io::Error(io::ErrorKind::cancelled, name(), "an earlier piece is missing");
}

std::vector<BlockTarget::Piece> BlockTarget::pieces_of(std::uint64_t offset,
                                                       io::Buffer buffer) const {
  std::vector<Piece> pieces;
  for (std::uint64_t at = 0; at < buffer.bytes.size(); at += piece_bytes_) {
    const io::Buffer part = buffer.subspan(at, std::min(piece_bytes_, buffer.bytes.size() - at));
    if (io::is_zero(part.bytes)) continue;
    pieces.push_back({(offset + at) / piece_bytes_, io::xxh3(part.bytes), part});
  }
  return pieces;
}

void BlockTarget::give_place(Piece& piece) {
  const std::uint64_t offset = piece.index * piece_bytes_;
  const std::uint64_t block = offset / layout_->block_size();
  piece.opens_block = last_block_ != block;
  piece.block_place = layout_->place(block);
  piece.place = piece.block_place + offset % layout_->block_size();
  last_block_ = block;
  identity_.add(piece.index, piece.digest);
  content_bytes_ += piece.content.bytes.size();
}

io::Task<> BlockTarget::write(std::uint64_t offset, io::Buffer buffer) {
  assert(offset % piece_bytes_ == 0);
  try {
    co_await write_pieces(offset, buffer);
  } catch (...) {
    abandon();
    throw;
  }
}

io::Task<> BlockTarget::write_pieces(std::uint64_t offset, io::Buffer buffer) {
  std::vector<Piece> pieces = pieces_of(offset, buffer);
  co_await take_turn(offset);
  for (Piece& piece : pieces) give_place(piece);
  sequencer_.pass(offset + buffer.bytes.size());
  for (const Piece& piece : pieces) co_await write_piece(piece);
}

io::Task<> BlockTarget::write_piece(const Piece& piece) {
  const std::size_t lead_bytes = layout_->lead().size();
  if (piece.opens_block && lead_bytes > 0) {
    co_await file_.write(piece.block_place - lead_bytes, lead_.buffer().first(lead_bytes));
  }
  for (const io::Run run : io::zero_runs(piece.content.bytes, file_.zero_grain())) {
    if (run.zero) continue;
    co_await file_.write(piece.place + run.offset, piece.content.subspan(run.offset, run.length));
  }
}

io::Task<> BlockTarget::zero(io::ByteRange range) {
  assert(range.offset % piece_bytes_ == 0);
  try {
    co_await take_turn(range.offset);
    sequencer_.pass(range.end());
  } catch (...) {
    abandon();
    throw;
  }
}

io::Task<> BlockTarget::flush() { co_return; }

io::Task<> BlockTarget::finish() {
  assert(sequencer_.position() == size_);
  for (const io::Patch& patch : layout_->finish(identity_)) {
    const io::AlignedMemory memory(patch.bytes.size());
    std::copy(patch.bytes.begin(), patch.bytes.end(), memory.bytes().begin());
    co_await file_.write(patch.offset, memory.buffer().first(patch.bytes.size()));
  }
  output_.truncate(layout_->file_bytes());
}

}  // namespace formats
