// The two kinds of offsets that meet in every line about qcow2, and the sizes that relate them.
//
// A guest offset is a place on the disk that the guest sees, a host offset a place in the image
// file. They are two types, so neither is ever passed for the other.
#pragma once

#include <compare>
#include <cstdint>

namespace formats::qcow2 {

template <class Tag>
struct Offset {
  std::uint64_t value = 0;

  [[nodiscard]] constexpr Offset operator+(std::uint64_t bytes) const { return {value + bytes}; }
  [[nodiscard]] constexpr std::uint64_t operator-(Offset other) const {
    return value - other.value;
  }
  friend constexpr auto operator<=>(Offset, Offset) = default;
};

using GuestOffset = Offset<struct GuestTag>;
using HostOffset = Offset<struct HostTag>;

// What follows from the cluster size and the kind of L2 entries.
struct Geometry {
  std::uint32_t cluster_bits = 16;  // 9 to 21
  bool extended_l2 = false;         // 16-byte L2 entries with 32 subclusters

  [[nodiscard]] constexpr std::uint64_t cluster_size() const {
    return std::uint64_t{1} << cluster_bits;
  }
  [[nodiscard]] constexpr std::uint64_t offset_in_cluster(std::uint64_t offset) const {
    return offset & (cluster_size() - 1);
  }
  [[nodiscard]] constexpr std::uint64_t l2_entry_bytes() const { return extended_l2 ? 16 : 8; }
  [[nodiscard]] constexpr std::uint64_t l2_entries() const {
    return cluster_size() / l2_entry_bytes();
  }
  // What one L1 entry, that is one L2 table, covers; at most 2^39.
  [[nodiscard]] constexpr std::uint64_t guest_bytes_per_l2() const {
    return cluster_size() * l2_entries();
  }
  [[nodiscard]] constexpr std::uint64_t subcluster_size() const {
    return extended_l2 ? cluster_size() / 32 : cluster_size();
  }
  // L1 entries that `guest_size` bytes need.
  [[nodiscard]] constexpr std::uint64_t l1_entries_for(std::uint64_t guest_size) const {
    return guest_size / guest_bytes_per_l2() + (guest_size % guest_bytes_per_l2() != 0 ? 1 : 0);
  }
  friend constexpr bool operator==(const Geometry&, const Geometry&) = default;
};

}  // namespace formats::qcow2
