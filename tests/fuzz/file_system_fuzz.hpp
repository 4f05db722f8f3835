// What the fuzz targets of file systems share: a sparse disk made of the input, and what must hold
// of any answer.
//
// The input: how many sectors the disk has (4 bytes), then pieces of 518 bytes: a sector number
// (4 bytes), how many sectors in a row hold the same (2 bytes), and their content. All numbers are
// little-endian; tests/fuzz/sparse_corpus.py writes it.
#pragma once

#include <cstdint>
#include <cstdlib>

#include "formats/disks/filesystems/filesystem.hpp"
#include "tests/formats/disks/filesystems/sparse_disk.hpp"

namespace formats::filesystems {

// So that each run is short: a disk of 64 MiB, of which 8 MiB hold something.
inline constexpr std::uint64_t most_fuzz_sectors = 1 << 17;
inline constexpr std::uint64_t most_written_sectors = 1 << 14;

inline SparseDisk disk_from(std::span<const std::byte> input) {
  constexpr std::size_t head = 6;
  if (input.size() < 4) return SparseDisk(0);
  const std::uint64_t sectors =
      std::min<std::uint64_t>(load_little_endian<std::uint32_t>(input, 0), most_fuzz_sectors);
  SparseDisk disk(sectors * SparseDisk::sector_bytes);
  std::uint64_t left = most_written_sectors;
  for (auto rest = input.subspan(4); rest.size() > head;) {
    const std::uint64_t first = load_little_endian<std::uint32_t>(rest, 0);
    const std::uint64_t count = load_little_endian<std::uint16_t>(rest, 4);
    const auto content =
        rest.subspan(head, std::min<std::size_t>(rest.size() - head, SparseDisk::sector_bytes));
    for (std::uint64_t i = 0; i < count && first + i < sectors && left > 0; ++i, --left) {
      disk.write((first + i) * SparseDisk::sector_bytes, content);
    }
    rest = rest.subspan(head + content.size());
  }
  return disk;
}

inline void must_hold(bool holds) {
  if (!holds) std::abort();
}

inline void check_answer(const FileSystem& found) {
  must_hold(!found.type.empty());
  must_hold(!found.kept_whole() || found.free.empty());
  std::uint64_t end = 0;
  for (const io::ByteRange& range : found.free) {
    must_hold(!range.empty() && range.offset >= end && range.length <= found.size &&
              range.offset <= found.size - range.length);
    for (const io::ByteRange& witness : found.witnesses) {
      must_hold(io::intersection(range, witness).empty());
    }
    end = range.end();
  }
}

// The body of a target: anything but an answer that can be true, or an io::Error, is a bug.
inline int fuzz_prober(Prober prober, const std::uint8_t* data, std::size_t size) {
  SparseDisk disk = disk_from(std::as_bytes(std::span(data, size)));
  DiskView view(shared_ring(), disk);
  try {
    if (const auto found = prober(view, MapCheck::with_files)) check_answer(*found);
  } catch (const io::Error&) {
  }
  return 0;
}

}  // namespace formats::filesystems
