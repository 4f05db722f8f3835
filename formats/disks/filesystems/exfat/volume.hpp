// The boot region of exFAT: where the table, the clusters and the root directory lie. Cluster
// numbers begin at 2.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "formats/disks/disk_view.hpp"
#include "io/byte_range.hpp"

namespace formats::filesystems::exfat {

inline constexpr const char* remedy_check =
    "check it: chkdsk /f in Windows, or fsck.exfat where it is not mounted";
inline constexpr const char* remedy_unmount =
    "unmount it or shut its system down; if that was done, check it (chkdsk /f, or fsck.exfat)";

struct Volume {
  std::uint32_t sector_size = 0;
  std::uint32_t cluster_size = 0;  // bytes, at most 32 MiB
  std::uint32_t clusters = 0;      // the last one is number clusters + 1
  std::uint32_t root_cluster = 0;
  std::uint64_t size = 0;           // all sectors, in bytes
  std::uint64_t first_cluster = 0;  // where cluster 2 lies, in bytes
  io::ByteRange table;              // has an entry for each cluster
  std::string uuid;
  bool dirty = false;  // in use, not unmounted, or its medium had errors

  [[nodiscard]] std::uint64_t offset_of(std::uint32_t cluster) const {
    return first_cluster + std::uint64_t{cluster - 2} * cluster_size;
  }
  // Whether there are these clusters.
  [[nodiscard]] bool has(std::uint32_t first, std::uint64_t count = 1) const {
    return first >= 2 && first - 2 < clusters && count <= clusters - (first - 2);
  }
};

// Whether the first 512 bytes say that this is one.
[[nodiscard]] bool has_signature(std::span<const std::byte> sector);

// What the boot sector claims to be the size of the file system; of any bytes.
[[nodiscard]] std::uint64_t claimed_size(std::span<const std::byte> sector);

// Whether it matters that it is dirty.
enum class StateCheck : std::uint8_t { clean, any };

// All of it checked: the table and the clusters lie inside [0, size). Throws Doubt, also where
// the file system is dirty, unless that does not matter.
[[nodiscard]] Volume read_volume(DiskView& view, StateCheck check = StateCheck::clean);

}  // namespace formats::filesystems::exfat
