// The seek table of a zstd file (the seekable format, version 0.1.0): which frame holds what.
//
//   frame, frame, ... , seek table      the table is a skippable frame, so zstd -d ignores it
//
// A value of this type is consistent: the frames follow one another from the file's start up to
// the table, and none is longer than its content can need. Time is linear in the table, memory
// below six times its length, at most 8 Mi frames.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "formats/images/zst/frame.hpp"
#include "io/file.hpp"

namespace formats::zst {

// Whether a frame that begins with `next` is a seek table.
[[nodiscard]] bool is_seek_table(std::span<const std::byte> next);

// A frame that has content.
struct Frame {
  std::uint64_t stored_at = 0;
  std::uint64_t content_at = 0;
  std::uint32_t stored_bytes = 0;
  std::uint32_t content_bytes = 0;
  std::uint32_t checksum = 0;  // the low half of the content's XXH64, where has_checksums
};

class SeekTable {
 public:
  // Image files of 8 TiB in frames of 1 MiB; a table takes 32 bytes of memory a frame.
  static constexpr std::uint32_t most_frames = std::uint32_t{1} << 23;
  static constexpr std::uint32_t most_content_bytes = 1U << 30;  // the reference's limit

  // Nothing when the file has none, or one that is not of all that lies in front of it: that of the
  // last of several files, one behind another. Throws Error when it has a bad one.
  static std::optional<SeekTable> read(const io::File& file);

  [[nodiscard]] const std::vector<Frame>& frames() const noexcept { return frames_; }
  [[nodiscard]] bool has_checksums() const noexcept { return has_checksums_; }
  [[nodiscard]] std::uint64_t content_size() const noexcept { return content_size_; }
  [[nodiscard]] std::uint32_t largest_frame() const noexcept { return largest_frame_; }
  // The frame with the byte at `offset`, below content_size().
  [[nodiscard]] std::size_t frame_at(std::uint64_t offset) const;

 private:
  std::vector<Frame> frames_;
  bool has_checksums_ = false;
  std::uint64_t content_size_ = 0;
  std::uint32_t largest_frame_ = 0;
};

// One line of a table that is being made. A frame without content is a skippable one.
struct SeekEntry {
  std::uint32_t stored_bytes = 0;
  std::uint32_t content_bytes = 0;
  std::uint32_t checksum = 0;
};
[[nodiscard]] std::vector<std::byte> make_seek_table(const std::vector<SeekEntry>& entries);

}  // namespace formats::zst
