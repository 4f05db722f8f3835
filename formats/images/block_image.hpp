// A disk image whose blocks lie in one file, as a source: whatever format says where they are.
//
// Plain blocks that follow one another in the file are read as one, straight into the caller's
// buffer; packed ones are decoded on the worker pool. Where the file has holes, so has the disk.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "formats/images/block_map.hpp"
#include "formats/images/image.hpp"
#include "formats/images/read_plan.hpp"
#include "io/file_source.hpp"

namespace formats {

// What shows where a map has nothing.
struct ImageBelow {
  std::shared_ptr<Image> image{};  // null: zeros, or nobody looks
  std::uint64_t offset = 0;        // in `image`, of the first byte of the one above
  bool left_out = false;           // there is one, which was not opened: only the layout is wanted
};

class BlockImage final : public Image {
 public:
  // `map` was made of `file`. Plain blocks are read past the page cache where `direct`; `workers`
  // may be null.
  BlockImage(io::Ring& ring, Format format, std::unique_ptr<io::File> file,
             std::unique_ptr<BlockMap> map, bool direct, io::WorkerPool* workers,
             ImageBelow below = {});

  [[nodiscard]] const std::string& name() const override { return file_->path(); }
  [[nodiscard]] std::optional<std::uint64_t> size() const override { return map_->guest_size(); }
  [[nodiscard]] io::Extent extent_at(std::uint64_t offset) override;
  io::Task<std::size_t> read(io::ByteRange range, io::Buffer buffer) override;

  [[nodiscard]] Format format() const override { return format_; }
  [[nodiscard]] std::uint64_t cluster_size() const override;
  [[nodiscard]] Placement placement_at(std::uint64_t offset) override;
  [[nodiscard]] std::vector<const io::File*> files() const override;

 private:
  [[nodiscard]] io::Extent find_extent(std::uint64_t offset);
  [[nodiscard]] io::Extent extent_of(const BlockRun& run);
  // Of what is not in this image, and not to be had of another one either.
  [[nodiscard]] bool ends_here(const BlockRun& run) const;
  [[nodiscard]] ReadPlan plan_read(io::ByteRange range, io::Buffer buffer);
  void refuse_past_end(const BlockRun& run) const;
  void decode(const PackedBlock& block, std::span<const std::byte> stream) const;

  io::Ring& ring_;
  io::WorkerPool* workers_;
  Format format_;
  std::unique_ptr<io::File> file_;  // the map knows its place
  std::unique_ptr<BlockMap> map_;
  io::FileSource stored_;
  io::File direct_file_;  // the same, past the page cache; or not open
  std::optional<io::FileSource> direct_;
  io::Source* plain_ = &stored_;
  ImageBelow below_;
  ReadPlan::Decode decode_;
  io::Extent last_extent_{};
};

}  // namespace formats
