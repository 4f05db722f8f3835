#include "formats/images/qcow2/refcount_builder.hpp"

#include <algorithm>
#include <cassert>
#include <limits>

#include "formats/bytes/big_endian.hpp"

namespace formats::qcow2 {
namespace {

constexpr std::uint64_t divide_up(std::uint64_t value, std::uint64_t by) {
  return (value + by - 1) / by;
}

}  // namespace

void put_refcount(std::span<std::byte> block, std::uint64_t index, std::uint32_t bits,
                  std::uint64_t count) {
  switch (bits) {
    case 64:
      store_big_endian<std::uint64_t>(block, index * 8, count);
      return;
    case 32:
      store_big_endian<std::uint32_t>(block, index * 4, static_cast<std::uint32_t>(count));
      return;
    case 16:
      store_big_endian<std::uint16_t>(block, index * 2, static_cast<std::uint16_t>(count));
      return;
    default:
      break;
  }
  // Several in a byte, the first one in the lowest bits.
  const std::uint64_t per_byte = 8 / bits;
  const auto shift = static_cast<unsigned>(index % per_byte * bits);
  const auto mask = static_cast<std::byte>(((1U << bits) - 1) << shift);
  std::byte& byte = block[index / per_byte];
  byte = (byte & ~mask) | (static_cast<std::byte>(count << shift) & mask);
}

RefcountBuilder::RefcountBuilder(std::uint32_t cluster_bits, std::uint32_t bits)
    : cluster_size_(std::uint64_t{1} << cluster_bits),
      bits_(bits),
      most_(bits >= 16 ? std::numeric_limits<std::uint16_t>::max()
                       : static_cast<std::uint16_t>((1U << bits) - 1)) {}

void RefcountBuilder::use(std::uint64_t cluster) {
  assert(!full(cluster));
  if (cluster >= counts_.size()) counts_.resize(cluster + 1);
  ++counts_[cluster];
}

RefcountPlaces refcount_places(std::uint64_t end, std::uint64_t cluster_size, std::uint32_t bits) {
  RefcountPlaces places{end, 0, 1};
  while (true) {
    const std::uint64_t blocks = divide_up(places.end(), cluster_size * 8 / bits);
    const std::uint64_t table_clusters = divide_up(blocks * 8, cluster_size);
    // Both only grow, so this ends.
    if (blocks == places.blocks && table_clusters == places.table_clusters) return places;
    places.blocks = blocks;
    places.table_clusters = table_clusters;
  }
}

void RefcountBuilder::write(const RefcountPlaces& places,
                            const std::function<void(std::span<const std::byte>)>& sink) {
  for (std::uint64_t cluster = places.first_block; cluster < places.end(); ++cluster) use(cluster);
  std::vector<std::byte> bytes(cluster_size_);
  for (std::uint64_t block = 0; block < places.blocks; ++block) {
    fill_block(block, bytes);
    sink(bytes);
  }
  const std::uint64_t per_cluster = cluster_size_ / 8;
  for (std::uint64_t first = 0; first < places.table_clusters * per_cluster; first += per_cluster) {
    std::fill(bytes.begin(), bytes.end(), std::byte{0});
    for (std::uint64_t block = first; block < std::min(first + per_cluster, places.blocks);
         ++block) {
      store_big_endian<std::uint64_t>(bytes, (block - first) * 8,
                                      (places.first_block + block) * cluster_size_);
    }
    sink(bytes);
  }
}

void RefcountBuilder::fill_block(std::uint64_t block, std::span<std::byte> bytes) const {
  std::fill(bytes.begin(), bytes.end(), std::byte{0});
  const std::uint64_t first = block * counts_per_block();
  const std::uint64_t end = std::min<std::uint64_t>(first + counts_per_block(), counts_.size());
  for (std::uint64_t cluster = first; cluster < end; ++cluster) {
    put_refcount(bytes, cluster - first, bits_, counts_[cluster]);
  }
}

}  // namespace formats::qcow2
