// An image as its block map sees it: what is mapped as it is, everything else as zeros, or as
// something that does not matter.
//
// It can check the checksums of the map while lanes read, in the image's order, on a thread of
// its own. Of an image that can seek that is done in a pass before anything is written, and the
// copy then needs no check; a stream is checked on the way, and wrong content is noticed before
// the copy ends. Belongs to the ring's thread.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "formats/images/bmap/bmap.hpp"
#include "io/source.hpp"
#include "io/task_group.hpp"
#include "io/worker_pool.hpp"

namespace formats::bmap {

enum class Unmapped : std::uint8_t { zeros, skipped };

class BmapSource final : public io::Source {
 public:
  // All references outlive the source. Throws Error when the image's size is known, and not the
  // one in the map. `map_name` is for messages.
  BmapSource(io::Ring& ring, io::Source& image, const Bmap& map, std::string map_name,
             Unmapped unmapped, bool check);

  // From now on data that is not zeros outside of the map is an error (ErrorKind::mismatch) where
  // it is come across: a map that was found, not named, may be older than its image. A stream is
  // read whole; of an image that can seek check_outside() looks at the rest.
  void refuse_data_outside() { refuse_outside_ = true; }
  // Reads what the image stores outside of the map. Throws as above. `tick` is called between
  // reads, and may throw.
  void check_outside(const std::function<void()>& tick);

  [[nodiscard]] const std::string& name() const override { return image_.name(); }
  [[nodiscard]] std::optional<std::uint64_t> size() const override { return map_.image_size; }
  [[nodiscard]] bool seekable() const override { return image_.seekable(); }
  [[nodiscard]] io::Extent extent_at(std::uint64_t offset) override;
  io::Task<std::size_t> read(io::ByteRange range, io::Buffer buffer) override;

 private:
  // Chunks in the image's order, whatever order lanes come in: those between two chunks that
  // are not read hold nothing mapped.
  [[nodiscard]] bool is_next(std::uint64_t position, std::uint64_t offset) const {
    return position >= offset || !map_.touches(io::range_between(position, offset));
  }
  void abandon();
  io::Task<> read_image(io::ByteRange range, io::Buffer buffer);
  io::Task<> skip_to(std::uint64_t begin, std::uint64_t end);
  io::Task<> check_end(std::uint64_t position);
  void blank_unmapped(io::ByteRange range, std::span<std::byte> bytes) const;
  void look_outside(std::uint64_t offset, std::span<const std::byte> bytes) const;
  io::Task<> check_chunk(io::ByteRange range, std::span<const std::byte> bytes);
  void digest_chunk(io::ByteRange range, std::span<const std::byte> bytes);
  void finish_range(const Range& range);
  [[noreturn]] void refuse_size(const std::string& size) const;

  io::Ring& ring_;
  io::Source& image_;
  const Bmap& map_;
  std::string map_name_;
  Unmapped unmapped_;
  bool check_;
  bool refuse_outside_ = false;
  io::WaitList turns_;
  bool abandoned_ = false;
  std::uint64_t asked_for_ = 0;  // of a stream: up to here a lane reads it
  std::uint64_t checked_ = 0;
  std::optional<io::Digest> digest_;  // of the mapped range that is under way
  io::WorkerPool thread_{1};
};

}  // namespace formats::bmap
