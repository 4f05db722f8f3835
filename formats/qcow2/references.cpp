#include "formats/qcow2/references.hpp"

#include <algorithm>
#include <cassert>

namespace formats::qcow2 {

References::References(const Geometry& geometry, std::uint64_t clusters)
    : geometry_(geometry), counts_(clusters), uses_(clusters) {
  assert(clusters <= most_clusters);
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
