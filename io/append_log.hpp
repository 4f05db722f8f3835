// Bytes that follow one another in a file, written in large aligned pieces.
//
// Appending copies and never waits; the appending lane then awaits write_full_pieces(), outside of
// his turn, so that what is not yet written stays bounded by the number of lanes. Belongs to the
// ring's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "io/buffer_pool.hpp"
#include "io/target.hpp"

namespace io {

class AppendLog {
 public:
  static constexpr std::uint64_t piece_bytes = 2 * MiB;

  // Starts at offset 0 of `file`, which outlives the log.
  explicit AppendLog(Target& file) : file_(file) {}
  // Starts elsewhere. Nothing was appended yet.
  void start_at(std::uint64_t position) noexcept { position_ = position; }

  // Where the next byte will be.
  [[nodiscard]] std::uint64_t position() const noexcept { return position_; }

  void append(std::span<const std::byte> bytes);
  void append_zeros(std::uint64_t count);

  // Writes pieces that are full and that no other lane writes. Throws Error.
  Task<> write_full_pieces();
  // Writes the rest. Nothing may be under way; nothing is appended afterwards.
  Task<> finish();

 private:
  // What belongs at the multiple of piece_bytes below `begin`; from `begin` on it is filled.
  struct Piece {
    std::uint64_t begin;
    AlignedMemory memory;

    [[nodiscard]] std::uint64_t end() const noexcept {
      return align_down(begin, piece_bytes) + piece_bytes;
    }
    [[nodiscard]] Buffer content(std::uint64_t end) const {
      return memory.buffer().subspan(begin % piece_bytes, end - begin);
    }
  };

  // Room in the current piece, at most `most` bytes; they count as appended.
  std::span<std::byte> take_room(std::uint64_t most);
  AlignedMemory take_memory();

  Target& file_;
  std::uint64_t position_ = 0;
  std::deque<Piece> pieces_;  // not yet being written, in order; all but the last are full
  std::vector<AlignedMemory> spare_;
};

}  // namespace io
