// A zstd file with a seek table, as an image: random access, decoded on all cores.
//
// A frame that fills a reader's buffer is decoded straight into it. One that is larger than what
// is asked for is decoded once and kept for those who ask for its other parts: a few frames, as
// lanes ascend. Frames that are seen to hold zeros are neither read as data nor decoded.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <vector>

#include "formats/images/image.hpp"
#include "formats/images/zst/seek_table.hpp"
#include "io/file_source.hpp"
#include "io/task_group.hpp"

namespace formats::zst {

class ZstImage final : public Image {
 public:
  // Frames with more content are decoded as a stream, which does not hold a whole frame.
  static constexpr std::uint32_t most_frame_bytes = 64 * io::MiB;

  // `workers` may be null. The table's frames have at most most_frame_bytes of content each.
  ZstImage(io::Ring& ring, io::File file, SeekTable table, io::WorkerPool* workers);

  [[nodiscard]] const std::string& name() const override { return file_.path(); }
  [[nodiscard]] std::optional<std::uint64_t> size() const override { return table_.content_size(); }
  [[nodiscard]] io::Extent extent_at(std::uint64_t offset) override;
  io::Task<std::size_t> read(io::ByteRange range, io::Buffer buffer) override;

  [[nodiscard]] Format format() const override { return Format::zst; }
  [[nodiscard]] std::uint64_t cluster_size() const override { return cluster_size_; }
  [[nodiscard]] Placement placement_at(std::uint64_t offset) override;
  [[nodiscard]] std::vector<const io::File*> files() const override { return {&file_}; }

 private:
  enum class Kind : std::uint8_t { unknown, data, zero };
  // A frame of which parts are asked for.
  struct Slot {
    bool ready = false;
    bool failed = false;
    std::vector<std::byte> content;
  };
  using SharedSlot = std::shared_ptr<Slot>;

  [[nodiscard]] bool is_zero(std::size_t index);
  [[nodiscard]] bool find_zero(const Frame& frame);
  [[nodiscard]] std::uint32_t zero_checksum(std::uint32_t size);
  [[nodiscard]] io::Extent find_extent(std::uint64_t offset);
  io::Task<> read_whole(const Frame& frame, std::span<std::byte> out);
  io::Task<> read_part(std::size_t index, std::uint64_t begin, std::span<std::byte> out);
  io::Task<> fill_slot(std::size_t index, SharedSlot slot);
  void forget_old_slots();
  void decode(const Frame& frame, std::span<const std::byte> stored,
              std::span<std::byte> out) const;
  [[noreturn]] void fail(const Frame& frame, const std::string& fault) const;

  io::Ring& ring_;
  io::WorkerPool* workers_;
  io::File file_;
  SeekTable table_;
  std::uint64_t cluster_size_;
  io::FileSource stored_;
  std::vector<Kind> kinds_;  // of the table's frames, as far as they were looked at
  std::map<std::uint32_t, std::uint32_t> zero_checksums_;  // by size
  io::Extent last_extent_{};

  std::map<std::size_t, SharedSlot> slots_;  // by frame
  std::list<std::size_t> slot_order_;        // the oldest first
  io::WaitList slot_waiters_;
};

// From the seek table. Throws Error when it is broken, or does not agree with the label.
[[nodiscard]] std::optional<std::uint64_t> stated_content_size(const io::File& file);

// Null where `file` has no seek table that can be used: then it is a stream, and `file` is as it
// was.
std::unique_ptr<ZstImage> open_seekable(io::Ring& ring, io::File& file, io::WorkerPool* workers);

}  // namespace formats::zst
