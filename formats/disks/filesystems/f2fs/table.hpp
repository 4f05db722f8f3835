// Tables of f2fs that exist twice, block by block: SIT and NAT. A bitmap of the checkpoint says
// which of the two sets has a block; a journal beside it has the newest entries.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "formats/disks/disk_view.hpp"
#include "formats/disks/filesystems/f2fs/damage.hpp"
#include "formats/disks/filesystems/f2fs/superblock.hpp"
#include "formats/disks/filesystems/f2fs/words.hpp"

namespace formats::filesystems::f2fs {

// Reads `count` blocks of a table in order, and calls `use(number, block)` for each.
// `place(number)` is the address of one. Blocks that follow each other are read in one go, 256 KiB
// at most.
template <typename Place, typename Use>
void read_table(DiskView& volume, std::uint32_t count, Place place, Use use) {
  constexpr std::uint32_t at_once = 64;
  for (std::uint32_t first = 0; first < count;) {
    const std::uint64_t address = place(first);
    std::uint32_t run = 1;
    while (run < at_once && first + run < count && place(first + run) == address + run) ++run;
    const auto blocks = volume.read(address * block_size, std::size_t{run} * block_size);
    for (std::uint32_t i = 0; i < run; ++i) {
      use(first + i,
          std::span<const std::byte>(blocks).subspan(std::size_t{i} * block_size, block_size));
    }
    first += run;
  }
}

// Where a journal's entries are by their number: a count of 16 bits, then a number of 32 bits and
// `entry_size` bytes each. Of numbers below `numbers`, each once. Throws Doubt.
inline std::map<std::uint32_t, std::span<const std::byte>> read_journal(
    std::span<const std::byte> journal, std::size_t entry_size, std::size_t most,
    std::uint64_t numbers, const Structure& structure) {
  constexpr std::size_t number_size = 4;
  std::map<std::uint32_t, std::span<const std::byte>> entries;
  const std::size_t count = u16(journal, 0);
  structure.check(count <= most, "length of its journal");
  for (std::size_t i = 0; i < count; ++i) {
    const auto entry =
        journal.subspan(2 + i * (number_size + entry_size), number_size + entry_size);
    const std::uint32_t number = u32(entry, 0);
    structure.check(number < numbers, "its journal");
    structure.check(entries.emplace(number, entry.subspan(number_size)).second, "its journal");
  }
  return entries;
}

}  // namespace formats::filesystems::f2fs
