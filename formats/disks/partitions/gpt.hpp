// A GUID partition table: one header and one array of entries at the beginning of the disk, the
// same again at its end, and an MBR before it that keeps old programs away.
//
// A Gpt is what both copies say. It can be changed, fitted to a disk of another size, and written
// back as both copies with their checksums: bytes whose meaning is not known here are kept.
// Numbers are logical blocks (LBA) of `sector_size` bytes unless they are called bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "formats/disks/disk_view.hpp"
#include "formats/disks/partitions/guid.hpp"
#include "io/overlay_source.hpp"

namespace formats::partitions {

struct GptEntry {
  Guid type;
  Guid id;
  std::uint64_t first = 0;
  std::uint64_t last = 0;  // inclusive, as it is stored
  std::uint64_t attributes = 0;
  std::string name;  // UTF-8; it comes from the disk: escape before printing

  [[nodiscard]] bool used() const noexcept { return !type.is_zero(); }
};

struct Gpt {
  std::uint64_t sector_size = 512;
  Guid disk_id;
  std::uint64_t first_usable = 0;
  std::uint64_t last_usable = 0;
  std::uint64_t primary_entries = 2;  // where the array of the first copy begins
  std::uint64_t backup = 0;           // where the second header is: the disk's last block
  std::uint32_t entry_count = 0;
  std::uint32_t entry_size = 0;   // bytes
  std::vector<std::byte> header;  // as found; as many bytes as it says
  std::vector<std::byte> array;   // entry_count * entry_size bytes

  [[nodiscard]] GptEntry entry(std::uint32_t index) const;
  void set_range(std::uint32_t index, std::uint64_t first, std::uint64_t last);

  // Blocks that the array takes.
  [[nodiscard]] std::uint64_t array_blocks() const;
  // Behind the last block of any partition; 0 without partitions.
  [[nodiscard]] std::uint64_t end_of_partitions() const;
  // The fewest blocks of a disk that holds all partitions and both copies.
  [[nodiscard]] std::uint64_t least_blocks() const;

  // Moves the second copy to the end of a disk of `blocks`, at least least_blocks(), and makes
  // everything before it usable.
  void fit(std::uint64_t blocks);

  // What must be on the disk: header and array of the first copy, and of the second.
  [[nodiscard]] std::vector<io::Patch> primary_patches() const;
  [[nodiscard]] std::vector<io::Patch> backup_patches() const;

  friend bool operator==(const Gpt&, const Gpt&) = default;
};

// Whether a header begins these bytes, by its signature alone.
[[nodiscard]] bool has_header_signature(std::span<const std::byte> bytes);

// One copy that was read: all of its checksums and bounds are right.
struct GptCopy {
  Gpt table;
  std::uint64_t header_at = 0;   // where it was found
  std::uint64_t entries_at = 0;  // where it says that its array is
  std::uint64_t other = 0;       // where it says that the other copy is
};

// The copy whose header is at `block`. Nothing: there is none (and `problem` stays empty), or it
// is damaged, and `problem` says how.
[[nodiscard]] std::optional<GptCopy> read_gpt_copy(DiskView& disk, std::uint64_t sector_size,
                                                   std::uint64_t block, std::string& problem);

// The size of the blocks that a primary header on this disk is written for: 512, 4096, or
// nothing when there is no header.
[[nodiscard]] std::optional<std::uint64_t> gpt_sector_size(DiskView& disk);

}  // namespace formats::partitions
