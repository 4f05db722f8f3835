// The parts of a zstd frame (RFC 8878), as far as they can be known without decoding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace formats::zst {

inline constexpr std::uint32_t zstd_magic = 0xFD2FB528;
inline constexpr std::uint32_t skippable_magic = 0x184D2A50;  // and the 15 behind it
inline constexpr std::size_t skippable_header_bytes = 8;

[[nodiscard]] bool is_skippable(std::uint32_t magic);

// Whether a frame, be it a skippable one, can begin with these bytes.
[[nodiscard]] bool is_frame_magic(std::span<const std::byte> bytes);

// What stands before the blocks of a frame.
struct FrameHeader {
  static constexpr std::size_t most_bytes = 18;
  std::size_t bytes = 0;
  std::optional<std::uint64_t> content_size;
  bool checksum = false;
};
// Nothing when `bytes` do not begin with a frame that is not skippable.
[[nodiscard]] std::optional<FrameHeader> parse_frame_header(std::span<const std::byte> bytes);

// A frame of `size` zeros (1 byte to 4 GiB - 1), made of blocks that repeat a zero. `checksum`:
// the low half of the XXH64 of the zeros.
[[nodiscard]] std::vector<std::byte> make_zero_frame(std::uint32_t size, std::uint32_t checksum);

// The most bytes that a frame takes which is_zero_frame() should be asked about.
[[nodiscard]] std::uint64_t longest_zero_frame(std::uint64_t size);

// The checksum at the end of a whole frame, where it has one.
[[nodiscard]] std::optional<std::uint32_t> frame_checksum(std::span<const std::byte> frame);

// Whether `frame` decodes to `size` zeros: all its blocks store or repeat zeros, and nothing
// else. This looks at what is there, not at who made it, so it can be relied on; other frames
// of zeros are merely not seen.
[[nodiscard]] bool is_zero_frame(std::span<const std::byte> frame, std::uint64_t size);

}  // namespace formats::zst
