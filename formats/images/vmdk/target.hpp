// Writes a stream-optimized VMDK image: grains of 64 KiB, each a zlib stream, in guest order;
// behind each 512 of them their table; at the end the directory, the footer and a marker of the
// end. So it can be written to a pipe. What is zeros is left out.
//
//   header, descriptor | grain, grain ... table | grain ... table | directory | footer | end
//
// Source: VMware, Virtual Disk Format 5.0, "Stream-Optimized Compressed Sparse Extents", in the
// order and with the markers that VMware's own tools write (version 3 of the header), since ESXi
// and 7-Zip take no other.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "formats/images/content_identity.hpp"
#include "formats/images/image_target.hpp"
#include "formats/images/vmdk/header.hpp"
#include "io/append_log.hpp"
#include "io/file.hpp"
#include "io/file_target.hpp"
#include "io/sequencer.hpp"
#include "io/source.hpp"
#include "io/worker_pool.hpp"

namespace formats::vmdk {

// Places are counted in 32 bits.
inline constexpr std::uint64_t largest_disk = (std::uint64_t{1} << 32) * sector;

struct StreamOptions {
  std::optional<std::uint64_t> size;  // of the disk in bytes; nothing: until the content ends
  std::string extent_name;            // the image's file name, which the descriptor repeats
  int level = 6;                      // 1 to highest_deflate_level
  io::WorkerPool* workers = nullptr;  // compress; null: the ring's thread does
};

class StreamTarget final : public ImageTarget {
 public:
  static constexpr std::uint64_t grain_bytes = 64 * io::KiB;
  static constexpr std::uint32_t table_entries = 512;
  static constexpr std::uint64_t table_covers = table_entries * grain_bytes;
  static constexpr std::uint64_t front_sectors = 128;  // before the first grain

  // Into an empty file, which is open for reading and writing.
  StreamTarget(io::Ring& ring, io::File& file, StreamOptions options);
  // Into `pipe`, which takes bytes in order; the size is known. What the descriptor says of the
  // content is then made of its size alone. File, pipe and workers outlive the target.
  StreamTarget(io::Ring& ring, io::Target& pipe, StreamOptions options);

  [[nodiscard]] const std::string& name() const override { return output_.name(); }
  [[nodiscard]] std::uint64_t capacity() const override {
    return options_.size.value_or(largest_disk);
  }
  // Chunks are looked at here, grain by grain.
  [[nodiscard]] std::uint64_t zero_grain() const override { return 1 * io::GiB; }
  [[nodiscard]] std::uint64_t granularity() const override { return grain_bytes; }
  io::Task<> write(std::uint64_t offset, io::Buffer buffer) override;
  io::Task<> zero(io::ByteRange range) override;
  // Only what finish() wrote is an image, so there is nothing to flush before.
  io::Task<> flush() override;
  void abandon() override;
  io::Task<> finish() override;
  [[nodiscard]] std::uint64_t content_bytes() const override { return content_bytes_; }
  [[nodiscard]] std::uint64_t file_bytes() const override { return log_.position(); }

 private:
  struct Grain {
    std::uint64_t index = 0;
    std::uint64_t digest = 0;
    std::vector<std::byte> bytes;  // with its marker, whole sectors
  };

  [[nodiscard]] Header header(std::uint64_t size) const;
  // Header and descriptor, as they stand before the first grain.
  [[nodiscard]] std::vector<std::byte> front(std::uint64_t size) const;
  [[nodiscard]] Grain encode_grain(std::uint64_t index, std::span<const std::byte> content) const;
  void encode(std::uint64_t offset, std::span<const std::byte> content,
              std::vector<Grain>& grains) const;
  io::Task<> take_turn(std::uint64_t offset);
  io::Task<> write_grains(std::uint64_t offset, std::span<const std::byte> content);
  void append_grain(const Grain& grain);
  void append_table();
  void append_directory();
  [[nodiscard]] std::uint32_t next_sector() const;

  io::Ring& ring_;
  const io::File* file_ = nullptr;
  std::optional<io::FileTarget> file_target_;
  io::Target& output_;
  StreamOptions options_;
  io::Sequencer sequencer_;
  io::AppendLog log_;
  ContentIdentity identity_;
  std::vector<std::uint32_t> directory_;              // sectors of the tables that were appended
  std::array<std::uint32_t, table_entries> table_{};  // the one behind them
  std::uint64_t content_bytes_ = 0;
};

}  // namespace formats::vmdk
