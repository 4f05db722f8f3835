#include "formats/disks/filesystems/free_clusters.hpp"

#include <algorithm>
#include <bit>
#include <cassert>

#include "formats/bytes/little_endian.hpp"

namespace formats::filesystems {
namespace {

// The bits of `bits` from bit `at` on, `at` a multiple of 64; those past the end are set.
std::uint64_t word_at(std::span<const std::byte> bits, std::uint64_t at, std::uint64_t count) {
  const std::size_t byte = at / 8;
  std::uint64_t word = ~std::uint64_t{0};
  if (bits.size() - byte >= 8) {
    word = load_little_endian<std::uint64_t>(bits, byte);
  } else {
    for (std::size_t i = byte; i < bits.size(); ++i) {
      word = (word << 8) | std::to_integer<std::uint64_t>(bits[bits.size() - 1 - (i - byte)]);
    }
  }
  if (count - at < 64) word |= ~std::uint64_t{0} << (count - at);
  return word;
}

}  // namespace

FreeClusters::FreeClusters(std::uint64_t first_byte, std::uint64_t cluster_size, std::size_t limit)
    : first_byte_(first_byte), cluster_size_(cluster_size), limit_(limit) {
  assert(limit > 1);
}

void FreeClusters::add(std::uint64_t cluster, std::uint64_t count) {
  if (count == 0) return;
  count_ += count;
  if (!runs_.empty()) {
    Run& last = runs_.back();
    assert(last.first + last.count <= cluster);
    if (last.first + last.count == cluster) {
      last.count += count;
      return;
    }
    if (last.count < shortest_) runs_.pop_back();
  }
  if (runs_.size() == limit_) drop_shortest();
  runs_.push_back({cluster, count});
}

void FreeClusters::add_clear_bits(std::span<const std::byte> bits, std::uint64_t first,
                                  std::uint64_t count) {
  assert(bits.size() >= (count + 7) / 8);
  for (std::uint64_t at = 0; at < count; at += 64) {
    const std::uint64_t word = word_at(bits, at, count);
    if (word == 0) {
      add(first + at, 64);
      continue;
    }
    for (std::uint64_t free = ~word; free != 0;) {
      const int begin = std::countr_zero(free);
      const int length = std::countr_one(free >> begin);
      add(first + at + static_cast<unsigned>(begin), static_cast<unsigned>(length));
      free &= ~((~std::uint64_t{0} >> (64 - length)) << begin);
    }
  }
}

bool FreeClusters::have_any_of(std::uint64_t cluster, std::uint64_t count) const {
  const auto next = std::partition_point(
      runs_.begin(), runs_.end(), [&](const Run& run) { return run.first + run.count <= cluster; });
  return count > 0 && next != runs_.end() && next->first < cluster + count;
}

std::vector<io::ByteRange> FreeClusters::take() && {
  if (!runs_.empty() && runs_.back().count < shortest_) runs_.pop_back();
  std::vector<io::ByteRange> ranges;
  ranges.reserve(runs_.size());
  for (const Run& run : runs_) {
    ranges.push_back({first_byte_ + run.first * cluster_size_, run.count * cluster_size_});
  }
  return ranges;
}

// Half of them go, so that this is rare. Of those that are as long as the median, the first stay.
void FreeClusters::drop_shortest() {
  std::vector<std::uint64_t> counts;
  counts.reserve(runs_.size());
  for (const Run& run : runs_) counts.push_back(run.count);
  const auto middle = counts.begin() + static_cast<std::ptrdiff_t>(counts.size() / 2);
  std::nth_element(counts.begin(), middle, counts.end());
  const std::uint64_t median = *middle;
  const auto longer =
      std::count_if(runs_.begin(), runs_.end(), [&](const Run& run) { return run.count > median; });
  std::size_t room = runs_.size() / 2 - static_cast<std::size_t>(longer);
  std::erase_if(runs_, [&](const Run& run) {
    if (run.count != median) return run.count < median;
    if (room == 0) return true;
    --room;
    return false;
  });
  shortest_ = median + 1;
}

}  // namespace formats::filesystems
