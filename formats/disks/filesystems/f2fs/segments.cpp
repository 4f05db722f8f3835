#include "formats/disks/filesystems/f2fs/segments.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "formats/disks/filesystems/f2fs/damage.hpp"
#include "formats/disks/filesystems/f2fs/table.hpp"
#include "formats/disks/filesystems/f2fs/words.hpp"

namespace formats::filesystems::f2fs {
namespace {

using Bytes = std::span<const std::byte>;

// An entry (struct f2fs_sit_entry): a word with kind and count, a bitmap, a time.
constexpr std::size_t sit_entry_size = 74;
constexpr std::size_t map_size = segment_blocks / 8;
constexpr std::uint32_t sit_entries_per_block = block_size / sit_entry_size;
constexpr std::size_t most_in_sit_journal = 6;
constexpr unsigned count_bits = 10;
constexpr unsigned first_node_kind = 3;
constexpr unsigned last_kind = 5;

constexpr Structure in_segments{"its map of segments"};

// The bitmap with the lowest bit of a byte first, as FreeClusters takes it.
std::array<std::byte, map_size> turned(Bytes map) {
  std::array<std::byte, map_size> result{};
  for (std::size_t i = 0; i < map_size; ++i) {
    unsigned byte = u8(map, i);
    byte = (byte & 0x0f) << 4 | byte >> 4;
    byte = (byte & 0x33) << 2 | (byte & 0xcc) >> 2;
    byte = (byte & 0x55) << 1 | (byte & 0xaa) >> 1;
    result[i] = static_cast<std::byte>(byte);
  }
  return result;
}

class SegmentReader {
 public:
  SegmentReader(DiskView& volume, const Geometry& geometry, const Checkpoint& checkpoint)
      : volume_(volume), geometry_(geometry), checkpoint_(checkpoint) {}

  Segments run() {
    journal_ = read_journal(checkpoint_.sit_journal, sit_entry_size, most_in_sit_journal,
                            geometry_.segments, in_segments);
    const std::uint32_t blocks = (geometry_.segments - 1) / sit_entries_per_block + 1;
    in_segments.check(blocks <= geometry_.sit_blocks, "it is too short");
    read_table(
        volume_, blocks, [&](std::uint32_t number) { return place(number); },
        [&](std::uint32_t number, Bytes block) { read_block(number, block); });
    check_counts();
    return std::move(result_);
  }

 private:
  [[nodiscard]] std::uint64_t place(std::uint32_t number) const {
    const bool in_second = bit_at(checkpoint_.sit_bitmap, number);
    return std::uint64_t{geometry_.sit} + number + (in_second ? geometry_.sit_blocks : 0);
  }

  void read_block(std::uint32_t number, Bytes block) {
    const std::uint32_t first = number * sit_entries_per_block;
    const std::uint32_t count = std::min(sit_entries_per_block, geometry_.segments - first);
    for (std::uint32_t i = 0; i < count; ++i) {
      const auto newer = journal_.find(first + i);
      segment(first + i, newer != journal_.end()
                             ? newer->second
                             : block.subspan(std::size_t{i} * sit_entry_size, sit_entry_size));
    }
  }

  void segment(std::uint32_t number, Bytes entry) {
    const unsigned word = u16(entry, 0);
    const unsigned kind = word >> count_bits;
    const unsigned count = word & ((1U << count_bits) - 1);
    const auto map = turned(entry.subspan(2, map_size));
    unsigned set = 0;
    for (const std::byte byte : map) {
      set += static_cast<unsigned>(std::popcount(std::to_integer<unsigned>(byte)));
    }
    in_segments.check(set == count, "a count of blocks");
    in_segments.check(kind <= last_kind, "a kind of segment");
    result_.used += count;
    if (kind >= first_node_kind) result_.used_nodes += count;
    if (count == 0 && !is_current(number)) ++free_segments_;
    result_.free.add_clear_bits(map, std::uint64_t{number} * segment_blocks, segment_blocks);
  }

  [[nodiscard]] bool is_current(std::uint32_t number) const {
    return std::any_of(checkpoint_.current.begin(), checkpoint_.current.end(),
                       [&](const CurrentSegment& one) { return one.segment == number; });
  }

  void check_counts() const {
    in_segments.check(result_.used_nodes == checkpoint_.valid_nodes,
                      "it has other nodes than were counted");
    in_segments.check(result_.used <= checkpoint_.valid_blocks,
                      "it has more blocks than were counted");
    in_segments.check(free_segments_ == checkpoint_.free_segments,
                      "it has other free segments than counted");
  }

  DiskView& volume_;
  const Geometry& geometry_;
  const Checkpoint& checkpoint_;
  std::map<std::uint32_t, Bytes> journal_;
  std::uint64_t free_segments_ = 0;
  Segments result_{.free = FreeClusters(geometry_.main * std::uint64_t{block_size}, block_size)};
};

}  // namespace

Segments read_segments(DiskView& volume, const Geometry& geometry, const Checkpoint& checkpoint) {
  return SegmentReader(volume, geometry, checkpoint).run();
}

}  // namespace formats::filesystems::f2fs
