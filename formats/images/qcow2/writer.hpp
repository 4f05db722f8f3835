// A new qcow2 image as a target of guest content: plain or compressed, alone or over a backing
// file.
//
// What is zeros is not stored. With a codec, chunks are encoded side by side on the worker pool
// and laid down in guest order; without one, clusters are written from the copier's buffers
// straight to their places. Either way the file is the same, byte for byte, every time.
#pragma once

#include <optional>
#include <string>

#include "formats/images/image_target.hpp"
#include "formats/images/qcow2/chunk_encoder.hpp"
#include "formats/images/qcow2/layout.hpp"
#include "io/bounded_target.hpp"
#include "io/file.hpp"
#include "io/file_target.hpp"
#include "io/sequencer.hpp"
#include "io/source.hpp"
#include "io/worker_pool.hpp"

namespace formats::qcow2 {

struct WriterOptions {
  CreateOptions create;
  std::optional<Codec> codec;         // of create.compression's type; none: nothing is compressed
  io::WorkerPool* workers = nullptr;  // outlives the target; needed with a codec
  // The content of create.backing_file; outlives the target. What is equal to it is left out.
  io::Source* backing = nullptr;
};

class Qcow2Target final : public ImageTarget {
 public:
  // `file` is empty and open for reading and writing; it outlives the target. `guest_size` is
  // unknown where a stream is written, and is then what was written at finish(). fault_of(create,
  // guest_size) is empty; preallocation excludes a codec and an unknown size. Sets space aside
  // when preallocation says so. Throws Error.
  Qcow2Target(io::Ring& ring, io::File& file, std::optional<std::uint64_t> guest_size,
              WriterOptions options);
  // Onto `disk`, a block device that may hold anything, from its first byte on; it outlives the
  // target. Its first cluster is wiped at once, and gets the header when all else is on the disk:
  // before that there is no image. No preallocation. What does not fit is ENOSPC.
  Qcow2Target(io::Ring& ring, io::Target& disk, std::optional<std::uint64_t> guest_size,
              WriterOptions options);

  [[nodiscard]] const std::string& name() const override { return output_.name(); }
  [[nodiscard]] std::uint64_t capacity() const override {
    return guest_size_.value_or(largest_disk);
  }
  // Chunks are looked at here, cluster by cluster.
  [[nodiscard]] std::uint64_t zero_grain() const override { return 1 * io::GiB; }
  io::Task<> write(std::uint64_t offset, io::Buffer buffer) override;
  io::Task<> zero(io::ByteRange range) override;
  io::Task<> flush() override { return output_.flush(); }
  void abandon() override { sequencer_.abandon(); }

  [[nodiscard]] std::uint64_t granularity() const override { return cluster_size_; }
  io::Task<> finish() override;
  [[nodiscard]] std::uint64_t content_bytes() const override { return layout_.content_bytes(); }
  [[nodiscard]] std::uint64_t file_bytes() const override { return layout_.end(); }

 private:
  // What one piece of content brings into the file, apart from the log.
  struct Output {
    std::vector<HostWrite> writes;
    std::vector<io::ByteRange> zeros;
  };

  void begin();
  io::Task<> take_turn(std::uint64_t offset);
  io::Task<> write_chunk(std::uint64_t offset, io::Buffer buffer);
  io::Task<> write_zeros(io::ByteRange range);
  io::Task<> set_aside(io::ByteRange range);
  io::Task<> read_backing(io::ByteRange range, Chunk& chunk, io::AlignedMemory& memory);
  [[nodiscard]] bool backing_is_zero(io::ByteRange range);
  void lay_down(std::uint64_t offset, const Chunk& chunk, io::Buffer content);
  void lay_down_zeros_over_backing(io::ByteRange range);
  void lay_down_one_zero(std::uint64_t cluster);
  void reserve(std::uint64_t cluster);
  [[nodiscard]] Output take_output();
  io::Task<> write_out(Output output);

  io::Ring& ring_;
  const io::File* file_ = nullptr;  // null: a disk
  const std::optional<std::uint64_t> guest_size_;
  const WriterOptions options_;
  const std::uint64_t cluster_size_;
  std::optional<io::FileTarget> file_target_;
  std::optional<io::BoundedTarget> disk_target_;
  io::Target& output_;
  io::AppendLog log_;
  Layout layout_;
  ChunkEncoder encoder_;
  io::Sequencer sequencer_;
  io::AlignedMemory zeros_;              // one cluster
  Chunk zero_chunk_;                     // it, encoded; with a backing file only
  std::vector<io::ByteRange> reserved_;  // not in an Output yet (Preallocation::full)
};

}  // namespace formats::qcow2
