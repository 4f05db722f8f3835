// The pieces of a source that were read last, kept: metadata of files lie close to each other, and
// are asked for in no order.
#pragma once

#include <cstdint>
#include <list>
#include <unordered_map>

#include "io/buffer_pool.hpp"
#include "io/source.hpp"

namespace formats {

// For DiskViews: reads come one after the other. Those that are longer than a few pieces go past
// it. Memory: 32 MiB.
class CachedSource final : public io::Source {
 public:
  // `base` is seekable, of a known size, and outlives this.
  explicit CachedSource(io::Source& base) : base_(base) {}

  [[nodiscard]] const std::string& name() const override { return base_.name(); }
  [[nodiscard]] std::optional<std::uint64_t> size() const override { return base_.size(); }
  [[nodiscard]] io::Extent extent_at(std::uint64_t offset) override {
    return base_.extent_at(offset);
  }
  io::Task<std::size_t> read(io::ByteRange range, io::Buffer buffer) override;

 private:
  static constexpr std::uint64_t piece_size = 64 * io::KiB;
  static constexpr std::uint64_t longest = 4 * piece_size;
  static constexpr std::size_t most_pieces = 512;

  struct Piece {
    std::uint64_t number;
    io::AlignedMemory memory;
  };
  using Pieces = std::list<Piece>;  // the one that was used last comes first

  io::Task<Pieces::iterator> piece(std::uint64_t number);

  io::Source& base_;
  Pieces pieces_;
  std::unordered_map<std::uint64_t, Pieces::iterator> by_number_;
};

}  // namespace formats
