#include "io/append_log.hpp"

#include <algorithm>
#include <cstring>

namespace io {

AlignedMemory AppendLog::take_memory() {
  if (spare_.empty()) return AlignedMemory(piece_bytes);
  AlignedMemory memory = std::move(spare_.back());
  spare_.pop_back();
  return memory;
}

std::span<std::byte> AppendLog::take_room(std::uint64_t most) {
  if (pieces_.empty() || pieces_.back().end() == position_) {
    pieces_.push_back({position_, take_memory()});
  }
  Piece& piece = pieces_.back();
  const std::uint64_t length = std::min(most, piece.end() - position_);
  const auto room = piece.memory.bytes().subspan(position_ % piece_bytes, length);
  position_ += length;
  return room;
}

void AppendLog::append(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const std::span<std::byte> room = take_room(bytes.size());
    std::memcpy(room.data(), bytes.data(), room.size());
    bytes = bytes.subspan(room.size());
  }
}

void AppendLog::append_zeros(std::uint64_t count) {
  while (count > 0) {
    const std::span<std::byte> room = take_room(count);
    std::memset(room.data(), 0, room.size());
    count -= room.size();
  }
}

Task<> AppendLog::write_full_pieces() {
  while (!pieces_.empty() && pieces_.front().end() <= position_) {
    Piece piece = std::move(pieces_.front());
    pieces_.pop_front();
    co_await file_.write(piece.begin, piece.content(piece.end()));
    spare_.push_back(std::move(piece.memory));
  }
}

Task<> AppendLog::finish() {
  co_await write_full_pieces();
  if (pieces_.empty()) co_return;
  const Piece piece = std::move(pieces_.front());
  pieces_.pop_front();
  co_await file_.write(piece.begin, piece.content(position_));
}

}  // namespace io
