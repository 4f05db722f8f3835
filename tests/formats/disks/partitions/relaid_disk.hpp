// What becomes of a disk in memory when its partitions get smaller, for tests of relayout.
#pragma once

#include <random>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "formats/disks/partitions/relayout.hpp"
#include "io/error.hpp"
#include "io/task_group.hpp"
#include "tests/formats/disks/partitions/table_disk.hpp"

namespace formats::partitions {

// Bytes that tell where they come from, none of them zero; tables are to be put over them.
inline void fill_randomly(TableDisk& disk, unsigned seed) {
  std::mt19937_64 random(seed);
  std::span<std::byte> bytes = disk.bytes();
  for (; bytes.size() >= 8; bytes = bytes.subspan(8)) {
    store_little_endian<std::uint64_t>(bytes, 0, random() | 0x0101'0101'0101'0101U);
  }
}

inline std::vector<std::byte> bytes_of(const std::vector<std::byte>& all, std::uint64_t offset,
                                       std::uint64_t length) {
  const auto begin = all.begin() + static_cast<std::ptrdiff_t>(offset);
  return {begin, begin + static_cast<std::ptrdiff_t>(length)};
}

inline bool is_zero(const std::vector<std::byte>& bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

// All bytes of a source, in pieces of `step`, each into memory of a page's address.
inline std::vector<std::byte> all_bytes(io::Ring& ring, io::Source& source, std::uint64_t step) {
  std::vector<std::byte> all;
  const std::uint64_t size = *source.size();
  for (std::uint64_t at = 0; at < size; at += step) {
    const std::uint64_t length = std::min(step, size - at);
    io::AlignedMemory memory(length);
    EXPECT_EQ(io::run_task(ring, source.read({at, length}, memory.buffer())), length);
    all.insert(all.end(), memory.bytes().begin(),
               memory.bytes().begin() + static_cast<std::ptrdiff_t>(length));
  }
  return all;
}

// The new disk, through the source.
inline TableDisk relaid(TableDisk& disk, const std::vector<PartitionChange>& changes,
                        const RelayoutOptions& options, Relayout& plan,
                        const LayoutOptions& how = {}) {
  const Layout layout = disk.layout(how);
  DiskView& view = disk.view();
  plan = plan_relayout(view, layout, changes, options);
  const auto source = relaid_source(view.source(), plan);
  TableDisk result(plan.disk_size);
  result.bytes() = all_bytes(view.ring(), *source, io::MiB);
  return result;
}

inline TableDisk relaid(TableDisk& disk, const std::vector<PartitionChange>& changes,
                        const RelayoutOptions& options = {}) {
  Relayout plan;
  return relaid(disk, changes, options, plan);
}

// Why it is refused; "" when it is not.
inline std::string refusal(TableDisk& disk, const std::vector<PartitionChange>& changes,
                           const RelayoutOptions& options = {}) {
  try {
    (void)relaid(disk, changes, options);
  } catch (const io::Error& error) {
    EXPECT_EQ(error.kind(), io::ErrorKind::refused);
    return error.what();
  }
  return "";
}

// Everything that must be so, whatever the disk and the wishes were.
void expect_right(TableDisk& before, const std::vector<PartitionChange>& changes,
                  const RelayoutOptions& options, const LayoutOptions& how = {});

}  // namespace formats::partitions
