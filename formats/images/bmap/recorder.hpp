// Makes the block map of an image while it is copied: it stands between the source and the
// copier, and notes what passes, in the image's order, on a thread of its own.
//
// Mapped is what does not read as zeros, in steps of 64 KiB. Belongs to the ring's thread.
#pragma once

#include <optional>

#include "formats/images/bmap/bmap.hpp"
#include "io/source.hpp"
#include "io/task_group.hpp"
#include "io/worker_pool.hpp"

namespace formats::bmap {

class Recorder final : public io::Source {
 public:
  // What `image` gives is recorded as it is read, once, all that holds data, in chunks of
  // multiples of 64 KiB. `image` outlives the recorder.
  Recorder(io::Ring& ring, io::Source& image) : ring_(ring), image_(image), turns_(ring) {}

  [[nodiscard]] const std::string& name() const override { return image_.name(); }
  [[nodiscard]] std::optional<std::uint64_t> size() const override { return image_.size(); }
  [[nodiscard]] bool seekable() const override { return image_.seekable(); }
  [[nodiscard]] io::Extent extent_at(std::uint64_t offset) override {
    return image_.extent_at(offset);
  }
  io::Task<std::size_t> read(io::ByteRange range, io::Buffer buffer) override;

  // Once all was read of an image of `image_size` bytes.
  [[nodiscard]] Bmap take(std::uint64_t image_size);

 private:
  [[nodiscard]] bool is_next(std::uint64_t offset);
  void note(std::uint64_t offset, std::span<const std::byte> bytes);
  void end_range();

  io::Ring& ring_;
  io::Source& image_;
  io::WaitList turns_;
  bool abandoned_ = false;
  std::uint64_t position_ = 0;
  Bmap map_;
  std::optional<io::Digest> digest_;  // of the range at the map's end, while it grows
  io::WorkerPool thread_{1};
};

}  // namespace formats::bmap
