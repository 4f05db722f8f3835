// The entries of an exFAT directory, in order.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "formats/disks/disk_view.hpp"
#include "formats/disks/filesystems/exfat/allocation.hpp"
#include "formats/disks/filesystems/exfat/volume.hpp"

namespace formats::filesystems::exfat {

inline constexpr std::size_t entry_bytes = 32;
inline constexpr std::uint64_t longest_directory = 256 * io::MiB;

// The first byte of an entry says what it is.
namespace entry_type {
inline constexpr unsigned bitmap = 0x81;
inline constexpr unsigned upcase_table = 0x82;
inline constexpr unsigned label = 0x83;
inline constexpr unsigned file = 0x85;
inline constexpr unsigned volume_guid = 0xa0;
inline constexpr unsigned padding = 0xa1;
inline constexpr unsigned in_use = 0x80;     // of any entry
inline constexpr unsigned secondary = 0x40;  // belongs to the one before
}  // namespace entry_type

// An entry with those that belong to it, one after the other.
using EntrySet = std::vector<std::byte>;

[[nodiscard]] inline unsigned type_of(const EntrySet& set) {
  return std::to_integer<unsigned>(set[0]);
}

// What the entry at `at` says of its clusters.
[[nodiscard]] Allocation allocation_in(const EntrySet& set, std::size_t at);

class DirectoryReader {
 public:
  // The directory in these runs; `view` outlives it.
  DirectoryReader(DiskView& view, const Volume& volume, std::vector<ClusterRun> runs);

  // The next one that is in use; nothing at the end. Throws Doubt for what cannot be one.
  [[nodiscard]] std::optional<EntrySet> next();
  // Where in the volume the first two entries lie of what next() gave; the second is 0 where there
  // is only one.
  [[nodiscard]] const std::array<std::uint64_t, 2>& places() const { return places_; }

 private:
  // The bytes of the next entry; false at the end.
  bool append_entry(EntrySet& set);
  bool fill();

  DiskView& view_;
  const Volume& volume_;
  std::vector<ClusterRun> runs_;
  std::size_t run_ = 0;
  std::uint64_t in_run_ = 0;  // bytes
  std::vector<std::byte> buffer_;
  std::uint64_t buffer_place_ = 0;  // in the volume
  std::size_t at_ = 0;
  std::array<std::uint64_t, 2> places_{};
};

}  // namespace formats::filesystems::exfat
