#include "formats/disks/filesystems/xfs/log_ring.hpp"

#include <algorithm>
#include <cassert>

#include "formats/bytes/big_endian.hpp"
#include "formats/disks/filesystems/doubt.hpp"

namespace formats::filesystems::xfs {
namespace {

// As much as can be under way at once: eight buffers of 256 KiB. Further back nothing is torn.
constexpr std::uint32_t most_in_flight = 8 * 256 * 1024 / log_block_size;

[[noreturn]] void torn() {
  throw Doubt(Reason::needs_replay, "its log is torn or damaged",
              "mount and unmount it, or repair it (xfs_repair)");
}

// The first block of the last cycle; all before it are of the first one.
std::uint32_t first_of_last_cycle(LogRing& ring, std::uint32_t first, std::uint32_t last) {
  std::uint32_t known_first = 0;
  std::uint32_t known_last = ring.blocks() - 1;
  while (known_last - known_first > 1) {
    const std::uint32_t middle = known_first + (known_last - known_first) / 2;
    const std::uint32_t cycle = ring.cycle(middle);
    if (cycle != first && cycle != last) torn();
    (cycle == first ? known_first : known_last) = middle;
  }
  return known_last;
}

// Looks at `count` blocks from `block` on: they must be of the cycles that this end gives them.
// Gives the last one that begins a record.
std::optional<std::uint32_t> check_cycles(LogRing& ring, const LogEnd& end, std::uint32_t block,
                                          std::uint32_t count, std::uint32_t last_cycle) {
  constexpr std::uint32_t at_once = 256;
  std::optional<std::uint32_t> header;
  std::vector<std::byte> bytes;
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::uint32_t at = ring.wrapped(std::uint64_t{block} + i);
    if (i % at_once == 0) bytes = ring.read(at, std::min(at_once, count - i));
    const auto content =
        std::span(bytes).subspan(std::size_t{i % at_once} * log_block_size, log_block_size);
    const bool is_before = end.block == 0 || at < end.block;
    if (cycle_of(content) != (is_before ? end.cycle_before : last_cycle)) torn();
    if (load_big_endian<std::uint32_t>(content, 0) == log_record_magic) header = at;
  }
  return header;
}

}  // namespace

LogRing::LogRing(DiskView& volume, const Geometry& geometry)
    : volume_(volume),
      begin_(geometry.log_block * geometry.block_size),
      blocks_(static_cast<std::uint32_t>(std::uint64_t{geometry.log_blocks} * geometry.block_size /
                                         log_block_size)) {}

std::vector<io::ByteRange> LogRing::place(std::uint32_t block, std::uint32_t count) const {
  assert(block < blocks_);
  assert(count <= blocks_);
  const auto bytes = [this](std::uint64_t first, std::uint64_t length) {
    return io::ByteRange{begin_ + first * log_block_size, length * log_block_size};
  };
  const std::uint32_t up_to_end = std::min(count, blocks_ - block);
  if (up_to_end == count) return {bytes(block, count)};
  return {bytes(block, up_to_end), bytes(0, count - up_to_end)};
}

std::vector<std::byte> LogRing::read(std::uint32_t block, std::uint32_t count) {
  std::vector<std::byte> all;
  for (const io::ByteRange range : place(block, count)) {
    const std::vector<std::byte> piece = volume_.read(range.offset, range.length);
    all.insert(all.end(), piece.begin(), piece.end());
  }
  return all;
}

std::uint32_t LogRing::cycle(std::uint32_t block) { return cycle_of(read(block, 1)); }

std::uint32_t cycle_of(std::span<const std::byte> block) {
  const auto word = load_big_endian<std::uint32_t>(block, 0);
  return word == log_record_magic ? load_big_endian<std::uint32_t>(block, 4) : word;
}

LogEnd find_end(LogRing& ring) {
  const std::uint32_t first = ring.cycle(0);
  const std::uint32_t last = ring.cycle(ring.blocks() - 1);
  LogEnd end{.block = 0,
             .cycle_before = first,
             .window = std::min(most_in_flight, ring.blocks()),
             .is_unused = first == 0,
             .last_header = std::nullopt};
  if (first != last) {
    if (first == 0 || last != first - 1) torn();
    end.block = first_of_last_cycle(ring, first, last);
  }
  const std::uint32_t begin = ring.wrapped(std::uint64_t{end.block} + ring.blocks() - end.window);
  end.last_header = check_cycles(ring, end, begin, end.window, last);
  (void)check_cycles(ring, end, end.block, std::min(end.window, ring.blocks() - end.window), last);
  return end;
}

}  // namespace formats::filesystems::xfs
