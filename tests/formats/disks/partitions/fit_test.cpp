#include "formats/disks/partitions/fit.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/error.hpp"
#include "tests/formats/disks/partitions/table_disk.hpp"

namespace formats::partitions {
namespace {

using io::MiB;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::uint64_t copy_size = 33 * 512;  // of one GPT copy with sectors of 512 bytes

void expect_healthy(TableDisk& disk) {
  const Layout layout = disk.layout();
  EXPECT_EQ(layout.kind, TableKind::gpt);
  EXPECT_TRUE(layout.trusted);
  EXPECT_TRUE(layout.primary_valid);
  EXPECT_TRUE(layout.backup_valid);
  EXPECT_THAT(layout.problems, IsEmpty());
}

TEST(Fit, TheSameSizeNeedsNothing) {
  TableDisk disk = gpt_disk(4 * MiB, 512, {{2048, 4095}});
  Fit fit;
  disk.fitted(4 * MiB, false, fit);
  EXPECT_THAT(fit.patches, IsEmpty());
  EXPECT_FALSE(fit.backup_moved);
}

TEST(Fit, MovesTheBackupOnALargerDiskAndWipesTheOldOne) {
  for (const std::uint64_t size : {512U, 4096U}) {
    TableDisk disk = gpt_disk(4 * MiB, size, {{MiB / size, 2 * MiB / size - 1}});
    Fit fit;
    TableDisk larger = disk.fitted(7 * MiB, false, fit);
    EXPECT_TRUE(fit.backup_moved);
    EXPECT_FALSE(fit.primary_restored);
    EXPECT_FALSE(fit.growth);
    ASSERT_EQ(fit.wiped.size(), 1U);
    EXPECT_EQ(fit.wiped.front(), io::range_between(4 * MiB - 16 * io::KiB - size, 4 * MiB));
    expect_healthy(larger);
    EXPECT_EQ(larger.load<std::uint32_t>(446 + 12), 7 * MiB / size - 1);  // protective MBR
    EXPECT_EQ(larger.layout().partitions.front().id, guid_of(1));
    EXPECT_EQ(larger.load<std::uint64_t>(4 * MiB - size), 0U);
  }
}

TEST(Fit, ADiskAFewSectorsLargerKeepsTheNewCopyThatLiesOverTheOld) {
  TableDisk disk = gpt_disk(4 * MiB, 512, {{2048, 4095}});
  Fit fit;
  TableDisk larger = disk.fitted(4 * MiB + 10 * 512, false, fit);
  expect_healthy(larger);
  EXPECT_EQ(fit.wiped.front(), (io::ByteRange{4 * MiB - copy_size, 10 * 512}));
}

TEST(Fit, ASmallerDiskDownToTheLastPartition) {
  TableDisk disk = gpt_disk(8 * MiB, 512, {{2048, 4095}, {4096, 8191}});
  const std::uint64_t least = 4 * MiB + copy_size;
  for (const std::uint64_t size : {least, least + 512, 6 * MiB}) {
    Fit fit;
    TableDisk smaller = disk.fitted(size, false, fit);
    expect_healthy(smaller);
    EXPECT_TRUE(fit.backup_moved);
    EXPECT_EQ(smaller.layout().partitions.size(), 2U);
  }
  Fit fit;
  disk.fitted(least - 512, false, fit);
  EXPECT_THAT(fit.patches, IsEmpty());
  EXPECT_THAT(fit.kept_because, HasSubstr("larger disk"));
}

TEST(Fit, GrowsTheLastPartitionToAMebibyte) {
  TableDisk disk = gpt_disk(8 * MiB, 512, {{4096, 8191}, {2048, 4095}});
  Fit fit;
  TableDisk larger = disk.fitted(20 * MiB + 512, true, fit);
  expect_healthy(larger);
  EXPECT_EQ(larger.layout().partitions[0].range, io::range_between(2 * MiB, 19 * MiB));
  EXPECT_EQ(larger.layout().partitions[1].range, (io::ByteRange{MiB, MiB}));
  ASSERT_TRUE(fit.growth);
  EXPECT_EQ(fit.growth->partition, 1U);
  EXPECT_EQ(fit.growth->before, 2 * MiB);
  EXPECT_EQ(fit.growth->after, 17 * MiB);
}

TEST(Fit, RestoresThePrimaryFromTheBackup) {
  TableDisk disk = gpt_disk(4 * MiB, 512, {{2048, 4095}});
  std::fill_n(disk.bytes().begin() + 512, copy_size, std::byte{0});
  Fit fit;
  TableDisk larger = disk.fitted(5 * MiB, false, fit);
  EXPECT_TRUE(fit.primary_restored);
  expect_healthy(larger);
}

TEST(Fit, WhatLiesInThePlaceOfADamagedPrimaryStays) {
  for (const std::size_t place : {std::size_t{8192}, std::size_t{512}}) {  // Allwinner's, Amlogic's
    TableDisk disk = gpt_disk(4 * MiB, 512, {{2048, 4095}});
    std::fill_n(disk.bytes().begin() + static_cast<std::ptrdiff_t>(place), 4096, std::byte{0xea});
    Fit fit;
    TableDisk larger = disk.fitted(5 * MiB, true, fit);
    EXPECT_TRUE(fit.primary_left);
    EXPECT_FALSE(fit.primary_restored);
    EXPECT_TRUE(fit.backup_moved);
    EXPECT_TRUE(std::equal(larger.bytes().begin() + 512, larger.bytes().begin() + 17'408,
                           disk.bytes().begin() + 512));
    const Layout layout = larger.layout();  // by the backup
    EXPECT_TRUE(layout.backup_valid);
    ASSERT_TRUE(fit.growth);
    EXPECT_EQ(layout.partitions[0].range.length, fit.growth->after);

    const Layout before = disk.layout();
    const Fit forced = fit_to_disk(disk.view(), before, {5 * MiB, false, true});
    EXPECT_TRUE(forced.primary_restored);
    EXPECT_FALSE(forced.primary_left);
  }
}

TEST(Fit, WhatIsInAPartitionIsNotWiped) {
  // An old table's backup lies inside a partition of the new one: it may be a guest's disk.
  TableDisk disk = gpt_disk(4 * MiB, 512, {{2048, 4095}});
  TableDisk table = gpt_disk(8 * MiB, 512, {{2048, 12'000}});
  std::copy_n(table.bytes().begin(), copy_size + 512, disk.bytes().begin());
  disk.bytes().resize(4 * MiB);
  Fit fit;
  TableDisk larger = disk.fitted(9 * MiB, false, fit);
  EXPECT_THAT(fit.wiped, IsEmpty());
  EXPECT_EQ(larger.load<std::uint64_t>(4 * MiB - 512), 0x5452415020494645U);  // "EFI PART"
}

TEST(Fit, AHybridKeepsItsMbrAndGrowsBoth) {
  TableDisk disk = gpt_disk(4 * MiB, 512, {{2048, 4095}});
  disk.mbr_entry(0, 0, mbr_type_gpt, 1, 2047);
  disk.mbr_entry(0, 1, 0x0c, 2048, 2048);
  Fit fit;
  TableDisk larger = disk.fitted(6 * MiB, true, fit);
  EXPECT_EQ(larger.load<std::uint32_t>(446 + 12), 2047U);
  EXPECT_EQ(larger.load<std::uint32_t>(446 + 16 + 12), 4 * MiB / 512);
  expect_healthy(larger);
}

TEST(Fit, AnMbrStaysUnlessItsLastPartitionGrows) {
  TableDisk disk(4 * MiB);
  disk.mbr_entry(0, 0, 0x83, 2048, 2048);
  Fit fit;
  disk.fitted(8 * MiB, false, fit);
  EXPECT_THAT(fit.patches, IsEmpty());
  TableDisk larger = disk.fitted(8 * MiB, true, fit);
  EXPECT_EQ(larger.layout().partitions.front().range, io::range_between(MiB, 8 * MiB));
}

TEST(Fit, ALogicalPartitionGrowsWithAllAroundIt) {
  TableDisk disk(16 * MiB);
  disk.mbr_entry(0, 0, 0x83, 2048, 2048);
  disk.mbr_entry(0, 2, 0x05, 8192, 16384);
  disk.mbr_entry(8192 * 512, 0, 0x83, 2048, 2048);
  disk.mbr_entry(8192 * 512, 1, 0x05, 8192, 6144);
  disk.mbr_entry(16384 * 512, 0, 0x82, 2048, 4096);
  Fit fit;
  TableDisk larger = disk.fitted(32 * MiB, true, fit);
  const Layout layout = larger.layout();
  EXPECT_TRUE(layout.trusted);
  EXPECT_EQ(layout.extended->end(), 32 * MiB);
  EXPECT_EQ(layout.partitions[2].range.end(), 32 * MiB);
  EXPECT_EQ(layout.partitions[1].range, (io::ByteRange{10240 * 512, MiB}));
  EXPECT_EQ(larger.load<std::uint32_t>(8192 * 512 + 446 + 16 + 12), 65536U - 16384);  // the link
}

TEST(Fit, GrowthThatCannotBeIsRefused) {
  const auto why = [](TableDisk& disk) -> std::string {
    Fit fit;
    try {
      disk.fitted(64 * MiB, true, fit);
    } catch (const io::Error& error) {
      EXPECT_EQ(error.kind(), io::ErrorKind::refused);
      return error.what();
    }
    return "";
  };
  TableDisk none(MiB);
  EXPECT_THAT(why(none), HasSubstr("no partition table"));
  TableDisk empty = gpt_disk(4 * MiB, 512, {});
  EXPECT_THAT(why(empty), HasSubstr("there is none"));
  TableDisk blocked(16 * MiB);
  blocked.mbr_entry(0, 0, 0x83, 2048, 2048);
  blocked.mbr_entry(0, 1, 0x05, 8192, 4096);
  blocked.mbr_entry(8192 * 512, 0, 0, 0, 0);
  EXPECT_THAT(why(blocked), HasSubstr("extended partition lies behind"));
  TableDisk overlap = gpt_disk(8 * MiB, 512, {{2048, 6143}, {4096, 8191}});
  EXPECT_THAT(why(overlap), HasSubstr("overlap"));
}

TEST(Fit, AnMbrGrowsNoFurtherThanItCanCount) {
  TableDisk disk(4 * MiB);
  disk.mbr_entry(0, 0, 0x83, 2048, 2048);
  const Layout layout = disk.layout();
  const Fit fit = fit_to_disk(disk.view(), layout, {std::uint64_t{8} << 40, true});
  ASSERT_TRUE(fit.growth);
  EXPECT_EQ(fit.growth->after, (std::uint64_t{2} << 40) - 2 * MiB);
}

TEST(Fit, SectorsThatDoNotAgree) {
  TableDisk gpt = gpt_disk(8 * MiB, 512, {{2048, 4095}});
  EXPECT_EQ(sector_conflict(gpt.layout(), 512), "");
  EXPECT_THAT(sector_conflict(gpt.layout(), 4096), HasSubstr("sectors of 512 bytes"));
  TableDisk large = gpt_disk(8 * MiB, 4096, {{256, 511}});
  EXPECT_THAT(sector_conflict(large.layout(), 512), HasSubstr("sectors of 4096 bytes"));
  TableDisk mbr(8 * MiB);
  mbr.mbr_entry(0, 0, 0x83, 2048, 8192);
  EXPECT_THAT(sector_conflict(mbr.layout(), 4096), HasSubstr("MBR"));
  mbr.mbr_entry(0, 0, 0x83, 256, 1024);  // on 4096-byte sectors: 1 MiB to 5 MiB
  EXPECT_EQ(sector_conflict(mbr.layout(), 4096), "");
}

}  // namespace
}  // namespace formats::partitions
