#include "formats/images/qcow2/references.hpp"

#include <algorithm>
#include <cassert>

#include "io/byte_range.hpp"

namespace formats::qcow2 {
namespace {

// So that nothing has to be copied when something behind the end is counted: one cluster that is
// cut short, or the new refcounts of a repair, whose blocks count 64 clusters or more each and
// whose table has at most 8 MiB. Memory that is never touched costs nothing.
std::uint64_t room_behind(std::uint64_t clusters) { return clusters / 32 + 16 * io::KiB + 1; }

}  // namespace

References::References(const Geometry& geometry, std::uint64_t clusters) : geometry_(geometry) {
  assert(clusters <= most_clusters);
  const std::uint64_t room = clusters == 0 ? 0 : clusters + room_behind(clusters);
  counts_.reserve(room);
  uses_.reserve(room);
  counts_.resize(clusters);
  uses_.resize(clusters);
}

void References::add(HostOffset offset, std::uint64_t bytes, std::uint64_t times, Use use) {
  if (bytes == 0) return;
  const std::uint64_t first = offset.value >> geometry_.cluster_bits;
  const std::uint64_t last = (offset.value + bytes - 1) >> geometry_.cluster_bits;
  if (last >= counts_.size()) {
    counts_.resize(last + 1);
    uses_.resize(last + 1);
  }
  for (std::uint64_t cluster = first; cluster <= last; ++cluster) {
    const std::uint64_t sum = counts_[cluster] + std::min(times, largest_count);
    counts_[cluster] = static_cast<std::uint16_t>(std::min(sum, largest_count));
    uses_[cluster] |= static_cast<std::uint8_t>(use);
  }
}

bool References::overlaps(std::uint64_t cluster) const {
  const auto uses = uses_[cluster];
  if ((uses & static_cast<std::uint8_t>(Use::exclusive_table)) != 0) return counts_[cluster] > 1;
  constexpr auto both =
      static_cast<std::uint8_t>(Use::l2_table) | static_cast<std::uint8_t>(Use::data);
  return (uses & both) == both;
}

}  // namespace formats::qcow2
