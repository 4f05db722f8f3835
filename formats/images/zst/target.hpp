// Writes a zst file that can be read at any place: frames of one size, each with its checksum, a
// seek table at the end. `zstd -d` reads it too.
//
//   label | frame, frame, zeros, frame, ... | seek table
//
// To a file or to a pipe: the same bytes, but that a pipe gets no label where the size is not known
// beforehand.
//
// Zeros that fill frames become frames of their own, up to 64 MiB each, which a reader knows
// without decoding them (is_zero_frame). What is written depends on the content and the level
// alone, not on how it arrives.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "formats/images/image_target.hpp"
#include "formats/images/zst/seek_table.hpp"
#include "io/append_log.hpp"
#include "io/file_target.hpp"
#include "io/sequencer.hpp"
#include "io/source.hpp"
#include "io/worker_pool.hpp"

namespace formats::zst {

struct ZstOptions {
  int level = 3;                      // 1 to 19
  io::WorkerPool* workers = nullptr;  // compress; null: the ring's thread does
};

class ZstTarget final : public ImageTarget {
 public:
  // Content of one frame. Measured, see formats/README.md.
  static constexpr std::uint64_t frame_bytes = 4 * io::MiB;
  static constexpr std::uint64_t zero_frame_bytes = 64 * io::MiB;

  // `file` is empty, and open for reading and writing; it outlives the target, as the workers do.
  // `size`: bytes of content; unknown where a stream is written, and then what was written at
  // finish().
  ZstTarget(io::Ring& ring, io::File& file, std::optional<std::uint64_t> size,
            const ZstOptions& options);
  // Into `pipe`, which takes bytes in order, and outlives the target.
  ZstTarget(io::Ring& ring, io::Target& pipe, std::optional<std::uint64_t> size,
            const ZstOptions& options);

  [[nodiscard]] const std::string& name() const override { return output_.name(); }
  [[nodiscard]] std::uint64_t capacity() const override { return size_.value_or(io::stream_limit); }
  [[nodiscard]] std::uint64_t zero_grain() const override { return frame_bytes; }
  [[nodiscard]] std::uint64_t granularity() const override { return frame_bytes; }
  io::Task<> write(std::uint64_t offset, io::Buffer buffer) override;
  io::Task<> zero(io::ByteRange range) override;
  // Only what finish() wrote is a file, so there is nothing to flush before.
  io::Task<> flush() override;
  void abandon() override;
  io::Task<> finish() override;
  [[nodiscard]] std::uint64_t content_bytes() const override { return content_bytes_; }
  [[nodiscard]] std::uint64_t file_bytes() const override { return log_.position(); }

 private:
  // A frame's worth of content; zeros have no frame.
  struct Piece {
    std::uint32_t content_bytes = 0;
    std::vector<std::byte> frame;
  };

  void begin();
  void encode(std::span<const std::byte> content, std::vector<Piece>& pieces) const;
  io::Task<> take_turn(std::uint64_t offset);
  io::Task<> write_frames(std::uint64_t offset, std::span<const std::byte> content);
  void append_piece(const Piece& piece);
  void append_zeros(std::uint64_t count);
  void append_zero_frame();
  void append_frame(std::span<const std::byte> frame, std::uint32_t content_bytes);

  io::Ring& ring_;
  const io::File* file_ = nullptr;  // null: a pipe
  std::optional<io::FileTarget> file_target_;
  io::Target& output_;
  std::optional<std::uint64_t> size_;
  ZstOptions options_;
  io::Sequencer sequencer_;
  io::AppendLog log_;
  std::vector<SeekEntry> entries_;
  std::uint64_t pending_zeros_ = 0;                        // not yet in a frame
  std::map<std::uint32_t, std::uint32_t> zero_checksums_;  // by size
  std::uint64_t content_bytes_ = 0;
};

}  // namespace formats::zst
