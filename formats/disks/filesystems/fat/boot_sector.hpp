// The boot sector of FAT12, FAT16 and FAT32: where the tables, the root directory and the clusters
// lie. Cluster numbers begin at 2.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "io/byte_range.hpp"

namespace formats::filesystems::fat {

inline constexpr std::size_t boot_sector_bytes = 512;

// Bits of an entry of the table.
enum class Width : std::uint8_t { fat12 = 12, fat16 = 16, fat32 = 32 };

struct BootSector {
  Width width = Width::fat12;
  std::uint32_t sector_size = 0;
  std::uint32_t cluster_size = 0;  // bytes
  std::uint32_t clusters = 0;      // the last one is number clusters + 1
  std::uint64_t size = 0;          // all sectors, in bytes

  io::ByteRange first_table;  // the others follow, each as long
  std::uint32_t tables = 0;
  std::optional<std::uint32_t> only_table;  // mirroring is off, the other tables are stale

  io::ByteRange root;                        // FAT12 and FAT16
  std::uint32_t root_cluster = 0;            // FAT32
  std::uint64_t first_cluster = 0;           // where cluster 2 lies, in bytes
  std::optional<std::uint64_t> info_sector;  // FAT32, in bytes

  std::uint16_t version = 0;  // of FAT32
  bool dirty = false;
  bool wants_surface_test = false;
  std::string uuid;

  [[nodiscard]] io::ByteRange table(std::uint32_t number) const {
    return {first_table.offset + number * first_table.length, first_table.length};
  }
  [[nodiscard]] std::uint64_t offset_of(std::uint32_t cluster) const {
    return first_cluster + std::uint64_t{cluster - 2} * cluster_size;
  }
  // Whether there is a cluster of this number.
  [[nodiscard]] bool has(std::uint32_t cluster) const {
    return cluster >= 2 && cluster - 2 < clusters;
  }
};

// Nothing where these 512 bytes cannot be one. All of it lies inside [0, size), and the tables
// have an entry for each cluster.
[[nodiscard]] std::optional<BootSector> parse_boot_sector(std::span<const std::byte> sector);

}  // namespace formats::filesystems::fat
