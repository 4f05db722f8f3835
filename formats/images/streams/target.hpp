// Writes a compressed stream, gz, xz or lz4, which every tool reads; to a file or to a pipe.
//
// What is written depends on the content and the level alone, not on how it arrives nor on the
// number of threads.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "formats/images/image_target.hpp"
#include "formats/images/streams/encoder.hpp"
#include "io/append_log.hpp"
#include "io/file.hpp"
#include "io/file_target.hpp"
#include "io/sequencer.hpp"
#include "io/source.hpp"
#include "io/worker_pool.hpp"

namespace formats::streams {

struct StreamTargetOptions {
  std::optional<std::uint64_t> size;  // of the content in bytes; nothing: until it ends
  io::WorkerPool* workers = nullptr;  // encode; null: the ring's thread does
  const io::StopFlag* stop = nullptr;
};

class StreamTarget final : public ImageTarget {
 public:
  // Into an empty file, which is open for reading and writing.
  StreamTarget(io::Ring& ring, io::File& file, std::unique_ptr<Encoder> encoder,
               const StreamTargetOptions& options);
  // Into `pipe`, which takes bytes in order. File, pipe, workers and stop outlive it.
  StreamTarget(io::Ring& ring, io::Target& pipe, std::unique_ptr<Encoder> encoder,
               const StreamTargetOptions& options);

  [[nodiscard]] const std::string& name() const override { return output_.name(); }
  [[nodiscard]] std::uint64_t capacity() const override {
    return options_.size.value_or(io::stream_limit);
  }
  [[nodiscard]] std::uint64_t zero_grain() const override { return encoder_->block_bytes(); }
  [[nodiscard]] std::uint64_t granularity() const override { return encoder_->block_bytes(); }
  io::Task<> write(std::uint64_t offset, io::Buffer buffer) override;
  io::Task<> zero(io::ByteRange range) override;
  // Only what finish() wrote is a stream, so there is nothing to flush before.
  io::Task<> flush() override;
  void abandon() override;
  io::Task<> finish() override;
  [[nodiscard]] std::uint64_t content_bytes() const override { return content_bytes_; }
  [[nodiscard]] std::uint64_t file_bytes() const override { return log_.position(); }

 private:
  // Blocks of zeros are all the same: encoded once, as often as they come.
  using ZeroBlock = std::shared_ptr<const EncodedBlock>;

  io::Task<> run_on_worker(std::function<void()> work);
  io::Task<> take_turn(std::uint64_t offset);
  io::Task<> write_blocks(std::uint64_t offset, std::span<const std::byte> content);
  io::Task<> write_zeros(io::ByteRange range);
  [[nodiscard]] EncodedBlock zeros(std::uint64_t count) const;
  void append(const EncodedBlock& block);

  io::Ring& ring_;
  const io::File* file_ = nullptr;
  std::optional<io::FileTarget> file_target_;
  io::Target& output_;
  std::unique_ptr<Encoder> encoder_;
  StreamTargetOptions options_;
  io::Sequencer sequencer_;
  io::AppendLog log_;
  ZeroBlock zero_block_;  // a whole one; null before the first
  std::uint64_t content_bytes_ = 0;
};

}  // namespace formats::streams
