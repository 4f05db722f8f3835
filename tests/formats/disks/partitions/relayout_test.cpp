#include "formats/disks/partitions/relayout.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/formats/disks/partitions/relaid_disk.hpp"

namespace formats::partitions {
namespace {

using io::KiB;
using io::MiB;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Three partitions of 1, 6 and 2 MiB with gaps, and random bytes everywhere.
TableDisk three_partitions(std::uint64_t sector_size) {
  const std::uint64_t mib = MiB / sector_size;
  TableDisk table =
      gpt_disk(16 * MiB, sector_size,
               {{mib, 2 * mib - 1}, {3 * mib, 9 * mib - 1}, {12 * mib, 14 * mib - 1}});
  TableDisk disk(16 * MiB);
  fill_randomly(disk, 1);
  const std::uint64_t copy = 16 * KiB + 2 * sector_size;
  std::copy_n(table.bytes().begin(), copy, disk.bytes().begin());
  std::copy(table.bytes().end() - static_cast<std::ptrdiff_t>(copy), table.bytes().end(),
            disk.bytes().end() - static_cast<std::ptrdiff_t>(copy));
  return disk;
}

std::vector<std::uint64_t> starts_in_mib(const Relayout& plan) {
  std::vector<std::uint64_t> starts;
  for (const Placement& placement : plan.placements) starts.push_back(placement.new_start / MiB);
  return starts;
}

TEST(Relayout, FollowersMoveDownAndTheBackupGptFollows) {
  for (const std::uint64_t size : {512U, 4096U}) {
    TableDisk disk = three_partitions(size);
    const std::vector<PartitionChange> changes{{2, 2 * MiB + 100}};
    Relayout plan;
    TableDisk smaller = relaid(disk, changes, {}, plan);
    EXPECT_THAT(starts_in_mib(plan), ElementsAre(1, 2, 5));
    EXPECT_EQ(plan.placements[1].new_length, io::align_up(2 * MiB + 100, size));
    EXPECT_EQ(plan.disk_size, 8 * MiB);
    EXPECT_EQ(smaller.load<std::uint32_t>(446 + 12), 8 * MiB / size - 1);  // protective MBR
    expect_right(disk, changes, {});
  }
}

TEST(Relayout, ThatNothingChangesMovesGapsOnly) {
  TableDisk disk = three_partitions(512);
  Relayout plan;
  (void)relaid(disk, {}, {}, plan);
  EXPECT_THAT(starts_in_mib(plan), ElementsAre(1, 2, 8));
  expect_right(disk, {}, {});
}

TEST(Relayout, NumbersMayHaveGapsAndAnotherOrderThanTheDisk) {
  TableDisk disk = three_partitions(512);
  Gpt table = *disk.layout().gpt;  // p14 first, then p15, then p1, as Debian and Ubuntu do it
  std::vector<std::byte> array(table.array.size());
  const std::array<std::ptrdiff_t, 3> places{13, 14, 0};
  for (std::ptrdiff_t index = 0; index < 3; ++index) {
    std::copy_n(table.array.begin() + index * 128, 128,
                array.begin() + places[static_cast<std::size_t>(index)] * 128);
  }
  table.array = array;
  disk.put(table.primary_patches());
  disk.put(table.backup_patches());
  const std::vector<PartitionChange> changes{{15, 3 * MiB}, {1, MiB}};
  Relayout plan;
  (void)relaid(disk, changes, {}, plan);
  ASSERT_EQ(plan.placements.size(), 3U);
  EXPECT_EQ(plan.placements[0].number, 1U);
  EXPECT_EQ(plan.placements[0].new_start, 5 * MiB);
  EXPECT_EQ(plan.placements[1].new_start, MiB);
  EXPECT_EQ(plan.placements[2].new_start, 2 * MiB);
  expect_right(disk, changes, {});
}

TEST(Relayout, TheBiosBootPartitionStaysAndWhatIsBeforeIt) {
  TableDisk disk = three_partitions(512);
  Gpt table = *disk.layout().gpt;
  const std::array<unsigned, 16> type{0x48, 0x61, 0x68, 0x21, 0x49, 0x64, 0x6f, 0x6e,
                                      0x74, 0x4e, 0x65, 0x65, 0x64, 0x45, 0x46, 0x49};
  std::transform(type.begin(), type.end(), table.array.begin() + 128,
                 [](unsigned value) { return static_cast<std::byte>(value); });
  disk.put(table.primary_patches());
  disk.put(table.backup_patches());
  Relayout plan;
  (void)relaid(disk, {{1, 512 * KiB}}, {}, plan);
  EXPECT_THAT(starts_in_mib(plan), ElementsAre(1, 3, 9));
  EXPECT_THAT(plan.placements[1].why_not_moved, HasSubstr("boot loader"));
  EXPECT_EQ(plan.placements[2].why_not_moved, "");

  std::swap_ranges(table.array.begin() + 128, table.array.begin() + 144, table.array.begin() + 256);
  disk.put(table.primary_patches());
  disk.put(table.backup_patches());
  (void)relaid(disk, {{2, MiB}}, {}, plan);
  EXPECT_THAT(starts_in_mib(plan), ElementsAre(1, 3, 12));
  EXPECT_THAT(plan.placements[1].why_not_moved, HasSubstr("partition 3 behind it stays"));
  EXPECT_THAT(plan.placements[2].why_not_moved, HasSubstr("boot loader"));
  expect_right(disk, {{2, MiB}}, {});
}

TEST(Relayout, TheCallerSaysWhatStaysAndWhy) {
  TableDisk disk = three_partitions(512);
  Relayout plan;
  (void)relaid(disk, {{3, 2 * MiB, Carry::all, false, "it must"}}, {}, plan);
  EXPECT_THAT(starts_in_mib(plan), ElementsAre(1, 3, 12));
  EXPECT_EQ(plan.placements[2].why_not_moved, "it must");
  expect_right(disk, {{2, MiB}, {3, MiB, Carry::all, false}}, {});
}

TEST(Relayout, TheFirstPartitionNeverMoves) {
  TableDisk disk =
      gpt_disk(16 * MiB, 512, {{10 * 2048, 11 * 2048 - 1}, {13 * 2048, 14 * 2048 - 1}});
  Relayout plan;
  (void)relaid(disk, {}, {}, plan);
  EXPECT_THAT(starts_in_mib(plan), ElementsAre(10, 11));
  EXPECT_THAT(plan.placements[0].why_not_moved, HasSubstr("first partition"));
  EXPECT_EQ(plan.carried.front(), (CarriedRange{{0, 11 * MiB}, 0}));
}

TEST(Relayout, WhatIsNotCarriedIsAHole) {
  TableDisk disk = three_partitions(512);
  expect_right(disk, {{2, 3 * MiB, Carry::nothing}}, {});
  Relayout plan;
  (void)relaid(disk, {{2, 3 * MiB, Carry::nothing}}, {}, plan);
  DiskView& view = disk.view();
  const auto source = relaid_source(view.source(), plan);
  EXPECT_EQ(source->extent_at(2 * MiB), (io::Extent{{2 * MiB, 3 * MiB}, io::ExtentKind::hole}));
  EXPECT_EQ(source->extent_at(5 * MiB).kind, io::ExtentKind::data);
}

TEST(Relayout, TellsWhatIsLeftOut) {
  TableDisk disk = three_partitions(512);
  Relayout plan;
  (void)relaid(disk, {}, {}, plan);
  EXPECT_THAT(plan.left_out,
              ElementsAre(io::range_between(2 * MiB, 3 * MiB), io::range_between(9 * MiB, 12 * MiB),
                          io::range_between(14 * MiB, 16 * MiB - 33 * 512)));
  std::fill_n(disk.bytes().begin() + 9 * MiB, 3 * MiB, std::byte{0});
  std::fill_n(disk.bytes().begin() + 14 * MiB, 2 * MiB - 33 * 512, std::byte{0});
  (void)relaid(disk, {}, {}, plan);
  EXPECT_THAT(plan.left_out, ElementsAre(io::range_between(2 * MiB, 3 * MiB)));
}

TEST(Relayout, ADamagedPrimaryIsWrittenAnew) {
  TableDisk disk = three_partitions(512);
  std::fill_n(disk.bytes().begin() + 512, 512, std::byte{0});
  Relayout plan;
  TableDisk smaller = relaid(disk, {{2, MiB}}, {}, plan);
  EXPECT_TRUE(smaller.layout().primary_valid);
  EXPECT_TRUE(smaller.layout().backup_valid);
}

TEST(Relayout, ADiskThatWasFullStaysAsLongAsItIs) {
  const std::uint64_t size = 4 * MiB + 45 * 512;
  TableDisk disk = gpt_disk(size, 512, {{2048, size / 512 - 35}});
  Relayout plan;
  (void)relaid(disk, {}, {}, plan);
  EXPECT_EQ(plan.disk_size, size);
  TableDisk cut = gpt_disk(size, 512, {{2048, 8191}});
  cut.bytes().resize(4 * MiB);  // its backup is gone
  (void)relaid(cut, {}, {}, plan);
  EXPECT_EQ(plan.disk_size, 5 * MiB);
}

TEST(Relayout, WithoutATableTheEndChanges) {
  TableDisk disk(8 * MiB + 700);
  fill_randomly(disk, 7);
  disk.bytes()[510] = std::byte{0};
  Relayout plan;
  TableDisk smaller = relaid(disk, {{0, 3 * MiB + 1}}, {}, plan);
  EXPECT_EQ(plan.disk_size, 4 * MiB);
  EXPECT_TRUE(bytes_of(smaller.bytes(), 0, 3 * MiB + 512) ==
              bytes_of(disk.bytes(), 0, 3 * MiB + 512));
  EXPECT_TRUE(is_zero(bytes_of(smaller.bytes(), 3 * MiB + 512, MiB - 512)));
  ASSERT_EQ(plan.placements.size(), 1U);
  EXPECT_EQ(plan.placements[0].number, 0U);
  TableDisk same = relaid(disk, {}, {}, plan);
  EXPECT_TRUE(same.bytes() == disk.bytes());
  EXPECT_THAT(plan.left_out, IsEmpty());
  EXPECT_THAT(refusal(disk, {{1, MiB}}), HasSubstr("no partition 1"));
}

TEST(Relayout, RefusesWhatCannotBe) {
  TableDisk disk = three_partitions(512);
  EXPECT_THAT(refusal(disk, {{2, 6 * MiB + 1}}), HasSubstr("cannot grow"));
  EXPECT_THAT(refusal(disk, {{2, 0}}), HasSubstr("cannot become nothing"));
  EXPECT_THAT(refusal(disk, {{4, MiB}}), HasSubstr("no partition 4"));
  EXPECT_THAT(refusal(disk, {{2, MiB}, {2, MiB}}), HasSubstr("in two ways"));
  EXPECT_THAT(refusal(disk, {{0, MiB}}), HasSubstr("no partition 0"));
  TableDisk empty = gpt_disk(4 * MiB, 512, {});
  EXPECT_THAT(refusal(empty, {}), HasSubstr("has no partitions"));
  TableDisk overlap = gpt_disk(8 * MiB, 512, {{2048, 6143}, {4096, 8191}});
  EXPECT_THAT(refusal(overlap, {}), HasSubstr("overlap"));
  TableDisk hybrid = three_partitions(512);
  hybrid.mbr_entry(0, 0, mbr_type_gpt, 1, 2047);
  hybrid.mbr_entry(0, 1, 0x0c, 2048, 2048);
  EXPECT_THAT(refusal(hybrid, {}), HasSubstr("hybrid"));
  TableDisk neither = three_partitions(512);
  neither.bytes()[512 + 60] ^= std::byte{1};
  neither.bytes()[16 * MiB - 512 + 60] ^= std::byte{1};
  EXPECT_THAT(refusal(neither, {}), HasSubstr("in doubt"));
}

TEST(Relayout, DynamicDisksAreRefused) {
  TableDisk disk(8 * MiB);
  disk.mbr_entry(0, 0, 0x42, 2048, 4096);
  EXPECT_THAT(refusal(disk, {}), HasSubstr("dynamic disk"));
  TableDisk gpt = three_partitions(512);
  Gpt table = *gpt.layout().gpt;
  const std::array<unsigned, 16> type{0xa0, 0x60, 0x9b, 0xaf, 0x31, 0x14, 0x62, 0x4f,
                                      0xbc, 0x68, 0x33, 0x11, 0x71, 0x4a, 0x69, 0xad};
  std::transform(type.begin(), type.end(), table.array.begin() + 128,
                 [](unsigned value) { return static_cast<std::byte>(value); });
  gpt.put(table.primary_patches());
  gpt.put(table.backup_patches());
  EXPECT_THAT(refusal(gpt, {}), HasSubstr("partition 2 belongs to a dynamic disk"));
}

TEST(Relayout, ARandomGptComesOutRight) {
  for (unsigned seed = 1; seed <= 60; ++seed) {
    std::mt19937 random(seed);
    const std::uint64_t sector = random() % 2 == 0 ? 512 : 4096;
    const std::uint64_t alignment = 64 * KiB;
    std::vector<std::pair<std::uint64_t, std::uint64_t>> partitions;
    std::vector<PartitionChange> changes;
    std::uint64_t at = 64 * KiB / sector;
    const auto count = static_cast<unsigned>(1 + random() % 7);
    for (unsigned number = 1; number <= count; ++number) {
      at += random() % 3 * (random() % 200);
      const std::uint64_t length = 1 + random() % (256 * KiB / sector);
      partitions.emplace_back(at, at + length - 1);
      at += length;
      if (random() % 3 == 0) continue;
      changes.push_back({number, 1 + random() % (length * sector),
                         random() % 4 == 0 ? Carry::nothing : Carry::all, random() % 5 != 0});
    }
    const std::uint64_t size = (at + 40 + random() % 500) * sector;
    TableDisk table = gpt_disk(size, sector, partitions);
    TableDisk disk(size);
    fill_randomly(disk, seed);
    const Layout layout = table.layout();
    disk.put({{0, bytes_of(table.bytes(), 0, 512)}});
    disk.put(layout.gpt->primary_patches());
    disk.put(layout.gpt->backup_patches());
    expect_right(disk, changes, {false, alignment});
    ASSERT_FALSE(testing::Test::HasFailure()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace formats::partitions
