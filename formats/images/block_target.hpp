// Writes an image whose blocks lie in one file, each where the format's BlockLayout puts it: the
// counterpart of BlockImage.
//
// Blocks have their places in guest order, and content is written from the copier's buffers
// straight to them. Blocks of zeros have none; zeros inside a block are holes of the file. So the
// file is the same, byte for byte, every time.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "formats/images/block_layout.hpp"
#include "formats/images/image_target.hpp"
#include "io/buffer_pool.hpp"
#include "io/file.hpp"
#include "io/file_target.hpp"
#include "io/sequencer.hpp"

namespace formats {

class BlockTarget final : public ImageTarget {
 public:
  // `file` is empty and open for reading and writing; it outlives the target. `size` is that of the
  // disk in bytes, for which `layout` was made.
  BlockTarget(io::Ring& ring, io::File& file, std::uint64_t size,
              std::unique_ptr<BlockLayout> layout);

  [[nodiscard]] const std::string& name() const override { return file_.name(); }
  [[nodiscard]] std::uint64_t capacity() const override { return size_; }
  // Chunks are looked at here, block by block.
  [[nodiscard]] std::uint64_t zero_grain() const override { return 1 * io::GiB; }
  [[nodiscard]] std::uint64_t granularity() const override { return piece_bytes_; }
  io::Task<> write(std::uint64_t offset, io::Buffer buffer) override;
  io::Task<> zero(io::ByteRange range) override;
  // Only what finish() wrote is an image, so there is nothing to flush before.
  io::Task<> flush() override;
  void abandon() override { sequencer_.abandon(); }
  io::Task<> finish() override;
  [[nodiscard]] std::uint64_t content_bytes() const override { return content_bytes_; }
  [[nodiscard]] std::uint64_t file_bytes() const override { return layout_->file_bytes(); }

 private:
  // A piece of the disk that is not all zeros: a block, or a part of a large one.
  struct Piece {
    std::uint64_t index = 0;
    std::uint64_t digest = 0;
    io::Buffer content{};
    std::uint64_t place = 0;        // in the file
    std::uint64_t block_place = 0;  // of its block
    bool opens_block = false;       // the first one of it that is stored
  };

  [[nodiscard]] std::vector<Piece> pieces_of(std::uint64_t offset, io::Buffer buffer) const;
  void give_place(Piece& piece);
  io::Task<> take_turn(std::uint64_t offset);
  io::Task<> write_pieces(std::uint64_t offset, io::Buffer buffer);
  io::Task<> write_piece(const Piece& piece);

  const io::File& output_;
  io::FileTarget file_;
  const std::uint64_t size_;
  std::unique_ptr<BlockLayout> layout_;
  const std::uint64_t piece_bytes_;  // a block, or less
  io::AlignedMemory lead_;           // layout_'s
  io::Sequencer sequencer_;
  ContentIdentity identity_;
  std::optional<std::uint64_t> last_block_;  // that has a place
  std::uint64_t content_bytes_ = 0;
};

}  // namespace formats
