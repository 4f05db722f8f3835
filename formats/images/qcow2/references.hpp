// How often each cluster of a qcow2 file is used, counted by walking everything that uses one.
#pragma once

#include <cstdint>
#include <vector>

#include "formats/images/qcow2/offsets.hpp"

namespace formats::qcow2 {

// What a cluster is used for. Tables of one kind only may be shared, and only L2 tables and data
// by snapshots.
enum class Use : std::uint8_t { exclusive_table = 1, l2_table = 2, data = 4 };

class References {
 public:
  // More clusters than that are not counted: 144 MiB of memory, 3 TiB of 64 KiB clusters.
  static constexpr std::uint64_t most_clusters = std::uint64_t{48} << 20;
  static constexpr std::uint64_t largest_count = 0xffff;

  // For a file of `clusters` clusters; clusters <= most_clusters.
  References(const Geometry& geometry, std::uint64_t clusters);

  // Clusters counted: those of the file, and more where something behind its end is used.
  [[nodiscard]] std::uint64_t size() const { return counts_.size(); }

  // Adds `times` to each cluster of the `bytes` at `offset`. Counts stop at largest_count.
  void add(HostOffset offset, std::uint64_t bytes, std::uint64_t times, Use use);

  [[nodiscard]] std::uint64_t count(std::uint64_t cluster) const { return counts_[cluster]; }

  // Used for things that cannot share a cluster.
  [[nodiscard]] bool overlaps(std::uint64_t cluster) const;

 private:
  Geometry geometry_;
  std::vector<std::uint16_t> counts_;
  std::vector<std::uint8_t> uses_;
};

}  // namespace formats::qcow2
