// The boot sector of NTFS: its units, and where the MFT (the table of all files) begins. Clusters
// are counted from 0, at the beginning of the volume.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace formats::filesystems::ntfs {

inline constexpr std::size_t boot_sector_bytes = 512;

inline constexpr const char* remedy_check = "run chkdsk /f in Windows";
inline constexpr const char* remedy_shutdown =
    "start Windows and shut it down fully: shutdown /s /t 0";

struct Geometry {
  std::uint32_t sector_size = 0;
  std::uint32_t cluster_size = 0;  // bytes, at most 2 MiB
  std::uint32_t record_size = 0;   // of the MFT, in bytes: 512 to 65536
  std::uint64_t clusters = 0;      // whole ones, at most 2^53
  std::uint64_t size = 0;          // bytes, with the copy of the boot sector at the end
  std::uint64_t mft_cluster = 0;   // < clusters
  std::string uuid;

  // Whether all of these clusters exist.
  [[nodiscard]] bool has(std::uint64_t first, std::uint64_t count) const {
    return count <= clusters && first <= clusters - count;
  }
};

// Whether these 512 bytes say that they are one.
[[nodiscard]] bool has_signature(std::span<const std::byte> sector);

// What a boot sector with any content claims to be the size of the volume; 0 for nonsense.
[[nodiscard]] std::uint64_t claimed_size(std::span<const std::byte> sector);

// Throws Doubt where the fields cannot be right.
[[nodiscard]] Geometry parse_boot_sector(std::span<const std::byte> sector);

}  // namespace formats::filesystems::ntfs
