// What is left out is found in one look, between two looks at what any use of it changes.
#include "imgtool/jobs/unused_space.hpp"

#include <gtest/gtest.h>

#include <functional>

#include "io/error.hpp"
#include "tests/formats/disks/filesystems/sparse_disk.hpp"

namespace imgtool {
namespace {

using formats::filesystems::SparseDisk;

// A FAT16 of one sector a cluster: boot sector, one table of 20 sectors, the root directory, then
// clusters. The root has one directory, in cluster 2.
constexpr std::uint64_t clusters = 5000;
constexpr std::uint64_t table_sectors = 20;
constexpr std::uint64_t table = 512;
constexpr std::uint64_t root = table + table_sectors * 512;
constexpr std::uint64_t directory = root + 512;

SparseDisk fat16() {
  SparseDisk disk((2 + table_sectors + clusters) * 512);
  disk.put(0, std::uint8_t{0xeb});
  disk.put(11, std::uint16_t{512});
  disk.put(13, std::uint8_t{1});
  disk.put(14, std::uint16_t{1});
  disk.put(16, std::uint8_t{1});
  disk.put(17, std::uint16_t{16});
  disk.put(19, static_cast<std::uint16_t>(2 + table_sectors + clusters));
  disk.put(21, std::uint8_t{0xf8});
  disk.put(22, static_cast<std::uint16_t>(table_sectors));
  disk.put(510, std::uint16_t{0xaa55});
  disk.put(table, std::uint32_t{0xfffffff8});
  disk.put(table + 4, std::uint16_t{0xffff});
  disk.put_text(root, "FOLDER     \x10");
  disk.put(root + 26, std::uint16_t{2});
  disk.put_text(directory, ".          \x10");
  disk.put(directory + 26, std::uint16_t{2});
  disk.put_text(directory + 32, "..         \x10");
  return disk;
}

// Calls `at_read` with the number of each read that holds this place, from 1 on.
class WatchedDisk final : public io::Source {
 public:
  WatchedDisk(SparseDisk& disk, std::uint64_t place, std::function<void(unsigned)> at_read)
      : disk_(disk), place_(place), at_read_(std::move(at_read)) {}

  [[nodiscard]] const std::string& name() const override { return disk_.name(); }
  [[nodiscard]] std::optional<std::uint64_t> size() const override { return disk_.size(); }
  [[nodiscard]] io::Extent extent_at(std::uint64_t offset) override {
    return disk_.extent_at(offset);
  }
  io::Task<std::size_t> read(io::ByteRange range, io::Buffer buffer) override {
    if (range.contains(place_)) at_read_(++reads_);
    co_return co_await disk_.read(range, buffer);
  }
  [[nodiscard]] unsigned reads() const { return reads_; }

 private:
  SparseDisk& disk_;
  std::uint64_t place_;
  std::function<void(unsigned)> at_read_;
  unsigned reads_ = 0;
};

io::Ring& ring() { return formats::filesystems::shared_ring(); }

// Far from both ends, where signatures are looked for.
constexpr std::uint64_t far_directory = 1800;
SparseDisk fat16_with_a_far_directory() {
  SparseDisk disk = fat16();
  disk.put(root + 26, static_cast<std::uint16_t>(far_directory));
  disk.put(table + 4, std::uint16_t{0});
  disk.put(table + 2 * far_directory, std::uint16_t{0xffff});
  const std::uint64_t place = directory + (far_directory - 2) * 512;
  disk.put_text(place, ".          \x10");
  disk.put(place + 26, static_cast<std::uint16_t>(far_directory));
  disk.put_text(place + 32, "..         \x10");
  return disk;
}
constexpr std::uint64_t far_place = directory + (far_directory - 2) * 512;

TEST(UnusedSpace, FilesAreLookedAtOnce) {
  SparseDisk disk = fat16_with_a_far_directory();
  WatchedDisk watched(disk, far_place, [](unsigned) {});
  UnusedSpace unused(ring(), watched, {});
  ASSERT_EQ(unused.found().volumes.size(), 1U);
  EXPECT_EQ(unused.found().volumes.front().file_system.kept_because, "");
  ASSERT_EQ(unused.found().free.size(), 2U);
  EXPECT_EQ(unused.found().free.front().end(), far_place);
  EXPECT_EQ(watched.reads(), 1U);
  unused.check_unchanged();
}

TEST(UnusedSpace, AWriteWhileItIsLookedAtIsNoticed) {
  SparseDisk disk = fat16_with_a_far_directory();
  WatchedDisk watched(disk, far_place, [&](unsigned) {
    disk.put(table + 2 * 100, std::uint16_t{0xffff});  // a cluster is taken
  });
  EXPECT_THROW(UnusedSpace(ring(), watched, {}), io::Error);
}

TEST(UnusedSpace, AWriteAfterwardsIsNoticed) {
  SparseDisk disk = fat16();
  UnusedSpace unused(ring(), disk, {});
  unused.check_unchanged();
  disk.put(table + 2 * 100, std::uint16_t{0xffff});
  EXPECT_THROW(unused.check_unchanged(), io::Error);
}

// It may change as it likes: nothing of it is left out.
TEST(UnusedSpace, WhatIsKeptWholeIsNotWatched) {
  SparseDisk disk = fat16();
  disk.put(directory + 64, std::uint8_t{'X'});
  disk.put(directory + 64 + 11, std::uint8_t{0});
  disk.put(directory + 64 + 26, std::uint16_t{300});  // a file in a cluster that is free
  disk.put(directory + 64 + 28, std::uint32_t{512});
  UnusedSpace unused(ring(), disk, {});
  EXPECT_NE(unused.found().volumes.front().file_system.kept_because, "");
  EXPECT_TRUE(unused.found().witnesses.empty());
  disk.put(table + 2 * 100, std::uint16_t{0xffff});
  unused.check_unchanged();
}

}  // namespace
}  // namespace imgtool
