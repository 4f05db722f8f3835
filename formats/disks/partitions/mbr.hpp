// A DOS partition table: four slots in the first sector, and a chain of further sectors (EBRs)
// inside the extended partition, one for each logical partition.
//
// An Mbr can be changed and written back: its sectors are kept as they were found, and only the
// fields that changed are put into them. Numbers are sectors of the disk.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "formats/disks/disk_view.hpp"
#include "io/overlay_source.hpp"

namespace formats::partitions {

inline constexpr std::uint8_t mbr_type_gpt = 0xee;

struct MbrEntry {
  std::uint8_t status = 0;  // 0x80: active
  std::uint8_t type = 0;
  std::uint64_t first = 0;  // counted from the beginning of the disk
  std::uint64_t count = 0;

  [[nodiscard]] bool used() const noexcept { return type != 0 && count != 0; }
  [[nodiscard]] bool extended() const noexcept {
    return used() && (type == 0x05 || type == 0x0f || type == 0x85);
  }
  // Behind its last sector.
  [[nodiscard]] std::uint64_t end() const noexcept { return first + count; }
  friend bool operator==(const MbrEntry&, const MbrEntry&) = default;
};

// The sector before a logical partition, and what it says.
struct Ebr {
  std::uint64_t sector = 0;
  MbrEntry logical;            // not used(): an empty link of the chain
  std::vector<std::byte> raw;  // 512 bytes
  std::uint64_t found_at = 0;  // where they were: they count from there
};

struct Mbr {
  std::uint64_t sector_size = 512;
  std::vector<std::byte> raw;  // the first 512 bytes
  std::array<MbrEntry, 4> primary;
  std::vector<Ebr> chain;  // as the links go: logical partitions are numbered so, from 5

  // The slot that holds the logical partitions, or null.
  [[nodiscard]] const MbrEntry* extended() const;
  // Some slot says that there is a GPT.
  [[nodiscard]] bool mentions_gpt() const;
  // ... and none says anything else.
  [[nodiscard]] bool protective() const;
  // Lets each entry over the whole disk end with a disk of `blocks`, or where an MBR has to stop.
  void protect(std::uint64_t blocks);
  // Windows and PARTUUID= know the disk by this.
  [[nodiscard]] std::uint32_t signature() const;

  // All its sectors as they must be on the disk, the links of the chain as its sectors lie now.
  [[nodiscard]] std::vector<io::Patch> patches() const;
};

// FAT, exFAT, NTFS and BitLocker begin with a sector that ends as an MBR does, and may have
// anything in its slots. 512 bytes.
[[nodiscard]] bool looks_like_boot_sector(std::span<const std::byte> sector);

// Nothing: the first sector holds no such table, at most the boot sector of a file system. What
// is wrong with a table goes to `problems`. The chain is followed only inside the extended
// partition, and never twice to the same place.
[[nodiscard]] std::optional<Mbr> read_mbr(DiskView& disk, std::uint64_t sector_size,
                                          std::vector<std::string>& problems);

}  // namespace formats::partitions
