#include "formats/images/zst/frame.hpp"

#include <algorithm>
#include <array>

#include "formats/bytes/little_endian.hpp"
#include "io/byte_range.hpp"
#include "io/zero_run.hpp"

namespace formats::zst {
namespace {

constexpr std::size_t block_header_bytes = 3;
constexpr std::size_t checksum_bytes = 4;
constexpr std::uint32_t most_block_bytes = 128 * io::KiB;

enum BlockType : std::uint8_t { raw_block = 0, repeat_block = 1 };

struct Block {
  bool last = false;
  std::uint8_t type = raw_block;
  std::uint32_t size = 0;
};

Block parse_block(std::span<const std::byte> bytes) {
  const auto word = std::to_integer<std::uint32_t>(bytes[0]) |
                    std::to_integer<std::uint32_t>(bytes[1]) << 8U |
                    std::to_integer<std::uint32_t>(bytes[2]) << 16U;
  return {(word & 1U) != 0, static_cast<std::uint8_t>((word >> 1U) & 3U), word >> 3U};
}

// Blocks of zeros: either kind takes one byte of content.
void append_block(std::vector<std::byte>& frame, Block block) {
  const std::uint32_t word =
      (block.last ? 1U : 0U) | std::uint32_t{block.type} << 1U | block.size << 3U;
  for (unsigned shift = 0; shift < 24; shift += 8) {
    frame.push_back(static_cast<std::byte>(word >> shift));
  }
  frame.push_back(std::byte{0});
}

}  // namespace

bool is_skippable(std::uint32_t magic) { return (magic & ~15U) == skippable_magic; }

bool is_frame_magic(std::span<const std::byte> bytes) {
  if (bytes.size() < 4) return false;
  const auto magic = load_little_endian<std::uint32_t>(bytes, 0);
  return magic == zstd_magic || is_skippable(magic);
}

std::optional<FrameHeader> parse_frame_header(std::span<const std::byte> bytes) {
  constexpr std::array<std::size_t, 4> id_bytes = {0, 1, 2, 4};
  if (bytes.size() < 5 || load_little_endian<std::uint32_t>(bytes, 0) != zstd_magic) {
    return std::nullopt;
  }
  const auto descriptor = std::to_integer<unsigned>(bytes[4]);
  if ((descriptor & 8U) != 0) return std::nullopt;  // reserved
  const bool single_segment = (descriptor & 0x20U) != 0;
  const unsigned size_flag = descriptor >> 6U;
  const std::size_t size_bytes = size_flag == 0 ? (single_segment ? 1U : 0U) : 1U << size_flag;
  const std::size_t size_at = 5 + (single_segment ? 0U : 1U) + id_bytes[descriptor & 3U];
  FrameHeader header;
  header.bytes = size_at + size_bytes;
  header.checksum = (descriptor & 4U) != 0;
  if (bytes.size() < header.bytes) return std::nullopt;
  if (size_bytes == 1) header.content_size = std::to_integer<std::uint64_t>(bytes[size_at]);
  if (size_bytes == 2) {
    header.content_size = load_little_endian<std::uint16_t>(bytes, size_at) + std::uint64_t{256};
  }
  if (size_bytes == 4) header.content_size = load_little_endian<std::uint32_t>(bytes, size_at);
  if (size_bytes == 8) header.content_size = load_little_endian<std::uint64_t>(bytes, size_at);
  return header;
}

std::vector<std::byte> make_zero_frame(std::uint32_t size, std::uint32_t checksum) {
  constexpr std::byte four_byte_size_and_checksum{0x84};
  constexpr std::byte window_of_128_kib{0x38};
  std::vector<std::byte> frame(10);
  frame.reserve(longest_zero_frame(size));
  store_little_endian(frame, 0, zstd_magic);
  frame[4] = four_byte_size_and_checksum;
  frame[5] = window_of_128_kib;
  store_little_endian(frame, 6, size);
  // zstd before 1.4.4 takes no frame that begins with a repeating block.
  append_block(frame, {size == 1, raw_block, 1});
  for (std::uint32_t left = size - 1; left > 0;) {
    const std::uint32_t length = std::min(left, most_block_bytes);
    left -= length;
    append_block(frame, {left == 0, repeat_block, length});
  }
  frame.resize(frame.size() + checksum_bytes);
  store_little_endian(frame, frame.size() - checksum_bytes, checksum);
  return frame;
}

std::uint64_t longest_zero_frame(std::uint64_t size) {
  constexpr std::uint64_t zero_block_bytes = block_header_bytes + 1;
  return FrameHeader::most_bytes + checksum_bytes +
         zero_block_bytes * (size / most_block_bytes + 2);
}

std::optional<std::uint32_t> frame_checksum(std::span<const std::byte> frame) {
  const auto header = parse_frame_header(frame);
  if (!header || !header->checksum || frame.size() < header->bytes + checksum_bytes) {
    return std::nullopt;
  }
  return load_little_endian<std::uint32_t>(frame, frame.size() - checksum_bytes);
}

bool is_zero_frame(std::span<const std::byte> frame, std::uint64_t size) {
  const auto header = parse_frame_header(frame);
  if (!header || (header->content_size && *header->content_size != size)) return false;
  frame = frame.subspan(header->bytes);
  std::uint64_t covered = 0;
  while (frame.size() > block_header_bytes) {
    const Block block = parse_block(frame);
    const std::size_t stored = block.type == raw_block ? block.size : 1;
    if (block.type > repeat_block || block.size > most_block_bytes ||
        stored > frame.size() - block_header_bytes ||
        !io::is_zero(frame.subspan(block_header_bytes, stored))) {
      return false;
    }
    covered += block.size;
    frame = frame.subspan(block_header_bytes + stored);
    if (block.last) break;
  }
  return covered == size && frame.size() == (header->checksum ? checksum_bytes : 0);
}

}  // namespace formats::zst
