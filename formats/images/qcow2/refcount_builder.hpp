// Counts what uses the clusters of a new image, and lays out the tables that say so.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "formats/images/qcow2/offsets.hpp"

namespace formats::qcow2 {

// Where refcount blocks and the table of them stand, one behind the other.
struct RefcountPlaces {
  std::uint64_t first_block = 0;  // a cluster
  std::uint64_t blocks = 0;
  std::uint64_t table_clusters = 0;

  [[nodiscard]] std::uint64_t table() const { return first_block + blocks; }
  [[nodiscard]] std::uint64_t end() const { return table() + table_clusters; }
};

// What it takes to count all clusters before `end`, standing at `end` and counted itself.
RefcountPlaces refcount_places(std::uint64_t end, std::uint64_t cluster_size, std::uint32_t bits);

class RefcountBuilder {
 public:
  // `bits`: the width of a refcount in the image, 1 to 64.
  RefcountBuilder(std::uint32_t cluster_bits, std::uint32_t bits);

  // One more use of a host cluster that is not full().
  void use(std::uint64_t cluster);
  // No more uses can be counted.
  [[nodiscard]] bool full(std::uint64_t cluster) const {
    return cluster < counts_.size() && counts_[cluster] >= most_;
  }
  [[nodiscard]] std::uint64_t at(std::uint64_t cluster) const {
    return cluster < counts_.size() ? counts_[cluster] : 0;
  }

  // Counts `places` and hands out the content of their clusters, in order.
  void write(const RefcountPlaces& places,
             const std::function<void(std::span<const std::byte>)>& sink);

 private:
  [[nodiscard]] std::uint64_t counts_per_block() const { return (cluster_size_ * 8) / bits_; }
  void fill_block(std::uint64_t block, std::span<std::byte> bytes) const;

  std::uint64_t cluster_size_;
  std::uint32_t bits_;
  std::uint16_t most_;
  std::vector<std::uint16_t> counts_;  // by host cluster
};

// What makes up an entry of a refcount block; the counterpart of refcount_in().
void put_refcount(std::span<std::byte> block, std::uint64_t index, std::uint32_t bits,
                  std::uint64_t count);

}  // namespace formats::qcow2
