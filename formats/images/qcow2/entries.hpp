// The words of L1 and L2 tables and of the refcount table: what their bits mean, and what is wrong
// with them.
#pragma once

#include <cstdint>
#include <string>

#include "formats/images/qcow2/offsets.hpp"

namespace formats::qcow2 {

inline constexpr std::uint64_t copied_flag = std::uint64_t{1} << 63;      // refcount is exactly 1
inline constexpr std::uint64_t compressed_flag = std::uint64_t{1} << 62;  // of L2 entries
inline constexpr std::uint64_t zero_flag = 1;  // of L2 entries; not of extended ones
inline constexpr std::uint64_t offset_mask = 0x00fffffffffffe00;
inline constexpr std::uint64_t l1_reserved_mask = 0x7f000000000001ff;
inline constexpr std::uint64_t l2_reserved_mask = 0x3f000000000001fe;
inline constexpr std::uint64_t refcount_table_reserved_mask = 511;

// The offset in an L1 entry, or in an L2 entry that is not compressed.
[[nodiscard]] constexpr HostOffset table_offset(std::uint64_t word) { return {word & offset_mask}; }

// What an L2 entry says that is not compressed: `word`, and `subclusters` of an extended one.
struct L2Entry {
  std::uint64_t word = 0;
  std::uint64_t subclusters = 0;  // bit n: allocated, bit 32 + n: reads as zeros

  [[nodiscard]] constexpr bool compressed() const { return (word & compressed_flag) != 0; }
};

inline constexpr std::uint64_t stream_unit = 512;

// The stream of a compressed cluster. It starts anywhere; its end is rounded up to a stream_unit.
struct CompressedStream {
  HostOffset offset;
  std::uint32_t bytes = 0;
};

[[nodiscard]] constexpr CompressedStream compressed_stream(std::uint64_t word,
                                                           const Geometry& geometry) {
  const std::uint32_t offset_bits = 62 - (geometry.cluster_bits - 8);
  const std::uint64_t offset = word & ((std::uint64_t{1} << offset_bits) - 1);
  const std::uint64_t sectors = ((word & (compressed_flag - 1)) >> offset_bits) + 1;
  return {{offset}, static_cast<std::uint32_t>(sectors * 512 - (offset & 511))};
}

// What is wrong with an L1 entry other than 0; empty when nothing is.
std::string l1_fault(std::uint64_t word, const Geometry& geometry, std::uint64_t file_size);

// What an L2 entry may say depends on the header.
struct L2Rules {
  Geometry geometry;
  bool zero_flag_allowed = true;  // since version 3
  bool external_data = false;
};

// Whether an entry that is not compressed names a place. With an external data file, cluster 0
// is a place like any other.
[[nodiscard]] constexpr bool has_space(const L2Entry& entry, const L2Rules& rules) {
  return table_offset(entry.word).value != 0 ||
         (rules.external_data && (entry.word & copied_flag) != 0);
}

// What is wrong with an L2 entry; empty when nothing is. Where it points is not looked at, nor
// where zeros have space set aside: they read as zeros all the same.
std::string l2_fault(const L2Entry& entry, const L2Rules& rules);

// Calls visit(cluster) for each host cluster of the image file that an entry without a fault uses:
// those that its stream lies in, or its own.
template <class Visitor>
void for_each_cluster_of(const L2Entry& entry, const L2Rules& rules, const Visitor& visit) {
  const std::uint64_t cluster_size = rules.geometry.cluster_size();
  if (entry.compressed()) {
    const CompressedStream stream = compressed_stream(entry.word, rules.geometry);
    const std::uint64_t last = (stream.offset.value + stream.bytes - 1) / cluster_size;
    for (std::uint64_t at = stream.offset.value / cluster_size; at <= last; ++at) visit(at);
  } else if (!rules.external_data && table_offset(entry.word).value != 0) {
    visit(table_offset(entry.word).value / cluster_size);
  }
}

// Zeros whose space is not at a cluster: nothing can be written there, and nothing is read.
[[nodiscard]] bool has_misplaced_zeros(const L2Entry& entry, const L2Rules& rules);

}  // namespace formats::qcow2
