// The free clusters of a file system that counts them from one place on, gathered as ranges of
// bytes. Memory is bounded: of more than 4 Mi ranges (64 MiB) the shortest are dropped, which
// means kept, as if they were in use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "io/byte_range.hpp"

namespace formats::filesystems {

class FreeClusters {
 public:
  static constexpr std::size_t most_ranges = std::size_t{4} << 20;

  // Cluster n begins at byte `first_byte` + n * `cluster_size`. No cluster that is added may end
  // beyond 2^64 bytes.
  FreeClusters(std::uint64_t first_byte, std::uint64_t cluster_size,
               std::size_t limit = most_ranges);

  // `count` clusters from `cluster` on are free. Ascending.
  void add(std::uint64_t cluster, std::uint64_t count);

  // Bit n of `bits`, lowest first, tells of cluster `first` + n; clear means free. Only the
  // first `count` bits count, and `bits` has as many.
  void add_clear_bits(std::span<const std::byte> bits, std::uint64_t first, std::uint64_t count);

  // All that were added, also those that were dropped since.
  [[nodiscard]] std::uint64_t count() const noexcept { return count_; }

  // Whether one of `count` clusters from `cluster` on is free. O(log n). Nothing overflows as
  // long as `cluster` + `count` does not.
  [[nodiscard]] bool have_any_of(std::uint64_t cluster, std::uint64_t count) const;

  // Ascending, disjoint, not touching.
  [[nodiscard]] std::vector<io::ByteRange> take() &&;

 private:
  struct Run {
    std::uint64_t first;
    std::uint64_t count;
  };
  void drop_shortest();

  std::uint64_t first_byte_;
  std::uint64_t cluster_size_;
  std::size_t limit_;
  std::uint64_t count_ = 0;
  std::uint64_t shortest_ = 1;  // clusters; shorter runs are dropped
  std::vector<Run> runs_;
};

}  // namespace formats::filesystems
