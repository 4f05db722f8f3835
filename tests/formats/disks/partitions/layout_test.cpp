#include "formats/disks/partitions/layout.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/formats/disks/partitions/table_disk.hpp"

namespace formats::partitions {
namespace {

using io::KiB;
using io::MiB;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<unsigned> numbers(const Layout& layout) {
  std::vector<unsigned> all;
  for (const Partition& partition : layout.partitions) all.push_back(partition.number);
  return all;
}

TEST(Layout, GptOfBothSectorSizes) {
  for (const std::uint64_t size : {512U, 4096U}) {
    const std::uint64_t mib = MiB / size;
    TableDisk disk = gpt_disk(8 * MiB, size, {{mib, 2 * mib - 1}, {3 * mib, 5 * mib - 1}});
    const Layout layout = disk.layout();
    EXPECT_EQ(layout.kind, TableKind::gpt);
    EXPECT_EQ(layout.sector_size, size);
    EXPECT_TRUE(layout.trusted);
    EXPECT_TRUE(layout.primary_valid);
    EXPECT_TRUE(layout.backup_valid);
    EXPECT_FALSE(layout.hybrid);
    EXPECT_THAT(layout.problems, IsEmpty());
    EXPECT_EQ(layout.id(), "d1d1d1d1-d1d1-d1d1-d1d1-d1d1d1d1d1d1");
    ASSERT_THAT(numbers(layout), ElementsAre(1, 2));
    EXPECT_EQ(layout.partitions[0].range, (io::ByteRange{MiB, MiB}));
    EXPECT_EQ(layout.partitions[1].range, (io::ByteRange{3 * MiB, 2 * MiB}));
    EXPECT_EQ(layout.partitions[1].name, "p2");
    EXPECT_EQ(layout.end_of_partitions(), 5 * MiB);
    EXPECT_EQ(layout.least_size(), 5 * MiB + 16 * KiB + size);
    EXPECT_EQ(layout.usable, (io::ByteRange{16 * KiB + 2 * size, 8 * MiB - 32 * KiB - 3 * size}));
    EXPECT_THAT(layout.gaps, ElementsAre(io::range_between(16 * KiB + 2 * size, MiB),
                                         io::range_between(2 * MiB, 3 * MiB),
                                         io::range_between(5 * MiB, layout.usable.end())));
  }
}

TEST(Layout, TheBackupIsUsedWhenThePrimaryIsBad) {
  for (const std::size_t damage : {512U, 540U, 512U + 88U, 1024U + 40U}) {
    TableDisk disk = gpt_disk(4 * MiB, 512, {{2048, 4095}});
    disk.bytes()[damage] ^= std::byte{1};
    const Layout layout = disk.layout();
    EXPECT_EQ(layout.kind, TableKind::gpt) << damage;
    EXPECT_FALSE(layout.primary_valid);
    EXPECT_TRUE(layout.backup_valid);
    ASSERT_THAT(numbers(layout), ElementsAre(1));
    EXPECT_FALSE(layout.problems.empty());
    EXPECT_EQ(layout.gpt->primary_entries, 2U);
  }
}

TEST(Layout, APrimaryWhoseEntriesLieAmongPartitionsIsBad) {
  TableDisk disk = gpt_disk(4 * MiB, 512, {{2048, 4095}});
  Gpt table = *disk.layout().gpt;
  table.primary_entries = 5000;
  disk.put(table.primary_patches());
  const Layout layout = disk.layout();
  EXPECT_FALSE(layout.primary_valid);
  EXPECT_TRUE(layout.backup_valid);
  EXPECT_THAT(layout.problems.front(), HasSubstr("where partitions may lie"));
}

TEST(Layout, NeitherCopyIsNoTable) {
  TableDisk disk = gpt_disk(4 * MiB, 512, {{2048, 4095}});
  disk.bytes()[600] ^= std::byte{1};
  disk.bytes()[4 * MiB - 512 + 60] ^= std::byte{1};
  const Layout layout = disk.layout();
  EXPECT_EQ(layout.kind, TableKind::none);
  EXPECT_FALSE(layout.trusted);
  EXPECT_THAT(layout.problems.back(), HasSubstr("neither copy"));
  EXPECT_EQ(layout.least_size(), 4 * MiB);
}

TEST(Layout, CopiesThatDifferAreNotTrusted) {
  TableDisk disk = gpt_disk(4 * MiB, 512, {{2048, 4095}});
  TableDisk other = gpt_disk(4 * MiB, 512, {{2048, 6143}});
  disk.put({{4 * MiB - 33 * 512, {other.bytes().end() - 33 * 512, other.bytes().end()}}});
  const Layout layout = disk.layout();
  EXPECT_EQ(layout.partitions.front().range.end(), 2 * MiB);  // the primary's
  EXPECT_FALSE(layout.trusted);
}

TEST(Layout, ABackupThatIsNotAtTheEndIsAProblemButNoDoubt) {
  TableDisk disk = gpt_disk(4 * MiB, 512, {{2048, 4095}});
  disk.bytes().resize(6 * MiB);
  const Layout layout = disk.layout();
  EXPECT_TRUE(layout.trusted);
  EXPECT_FALSE(layout.backup_valid);
  EXPECT_THAT(layout.problems, ElementsAre(HasSubstr("not at the end")));
}

TEST(Layout, PartitionsThatOverlapOrLieOutsideAreNotSound) {
  TableDisk disk =
      gpt_disk(8 * MiB, 512, {{2048, 6143}, {4096, 8191}, {9000, 9999}, {100, 20'000'000}});
  const Layout layout = disk.layout();
  EXPECT_FALSE(layout.trusted);
  EXPECT_FALSE(layout.partitions[0].sound);
  EXPECT_FALSE(layout.partitions[1].sound);
  EXPECT_FALSE(layout.partitions[3].sound);
  TableDisk behind = gpt_disk(8 * MiB, 512, {{2048, 4095}, {16'350, 16'380}});
  EXPECT_FALSE(behind.layout().partitions[1].sound);  // over the backup's entries
  EXPECT_TRUE(behind.layout().partitions[0].sound);
}

TEST(Layout, AHybridIsAGptWhoseMbrMustAgree) {
  TableDisk disk = gpt_disk(4 * MiB, 512, {{2048, 4095}});
  disk.mbr_entry(0, 0, mbr_type_gpt, 1, 2047);
  disk.mbr_entry(0, 1, 0x0c, 2048, 2048);
  Layout layout = disk.layout();
  EXPECT_EQ(layout.kind, TableKind::gpt);
  EXPECT_TRUE(layout.hybrid);
  EXPECT_TRUE(layout.trusted);
  disk.mbr_entry(0, 1, 0x0c, 2048, 3000);
  layout = disk.layout();
  EXPECT_FALSE(layout.trusted);
}

TEST(Layout, AGptThatTheMbrDoesNotMentionIsNone) {
  TableDisk disk = gpt_disk(4 * MiB, 512, {{2048, 4095}});
  disk.mbr_entry(0, 0, 0x83, 2048, 1000);
  Layout layout = disk.layout();
  EXPECT_EQ(layout.kind, TableKind::mbr);
  EXPECT_FALSE(layout.trusted);
  std::fill_n(disk.bytes().begin(), 512, std::byte{0});
  layout = disk.layout();
  EXPECT_EQ(layout.kind, TableKind::none);
  EXPECT_FALSE(layout.trusted);
  EXPECT_TRUE(layout.partitions.empty());
}

// Four primaries, two of them logical inside the third.
TableDisk mbr_disk() {
  TableDisk disk(16 * MiB);
  disk.store<std::uint32_t>(440, 0x1b2c3d4e);
  disk.mbr_entry(0, 0, 0x83, 2048, 2048, 0x80);
  disk.mbr_entry(0, 2, 0x05, 8192, 16384);
  disk.mbr_entry(8192 * 512, 0, 0x83, 2048, 2048);
  disk.mbr_entry(8192 * 512, 1, 0x05, 8192, 6144);  // counted from the extended partition
  disk.mbr_entry(16384 * 512, 0, 0x82, 2048, 4096);
  return disk;
}

TEST(Layout, LogicalPartitionsAreNumberedFromFive) {
  TableDisk disk = mbr_disk();
  const Layout layout = disk.layout();
  EXPECT_EQ(layout.kind, TableKind::mbr);
  EXPECT_TRUE(layout.trusted) << layout.problems.front();
  EXPECT_EQ(layout.id(), "0x1b2c3d4e");
  ASSERT_THAT(numbers(layout), ElementsAre(1, 5, 6));
  EXPECT_TRUE(layout.partitions[0].bootable);
  EXPECT_EQ(layout.partitions[1].range, (io::ByteRange{10240 * 512, MiB}));
  EXPECT_EQ(layout.partitions[2].range, (io::ByteRange{18432 * 512, 2 * MiB}));
  EXPECT_EQ(layout.partitions[2].mbr_type, 0x82);
  EXPECT_TRUE(layout.partitions[2].logical);
  EXPECT_EQ(layout.end_of_partitions(), 24576U * 512);
  EXPECT_EQ(layout.least_size(), 24576U * 512);
}

TEST(Layout, AChainThatGoesInACircleEnds) {
  TableDisk disk = mbr_disk();
  disk.mbr_entry(16384 * 512, 1, 0x05, 8192, 6144);  // itself
  const Layout layout = disk.layout();
  ASSERT_THAT(numbers(layout), ElementsAre(1, 5, 6));
  EXPECT_FALSE(layout.trusted);
}

TEST(Layout, AChainDoesNotLeaveTheExtendedPartition) {
  TableDisk disk = mbr_disk();
  disk.mbr_entry(8192 * 512, 1, 0x05, 20000, 6144);
  EXPECT_THAT(numbers(disk.layout()), ElementsAre(1, 5));
  EXPECT_FALSE(disk.layout().trusted);
  disk.mbr_entry(8192 * 512, 1, 0x05, 10000, 6144);  // no table there
  EXPECT_FALSE(disk.layout().trusted);
  disk.mbr_entry(0, 2, 0x05, 4'000'000, 16384);  // behind the disk
  EXPECT_THAT(numbers(disk.layout()), ElementsAre(1));
  EXPECT_FALSE(disk.layout().trusted);
}

TEST(Layout, TheBootSectorOfAFileSystemIsNoTable) {
  TableDisk disk(4 * MiB);
  disk.mbr_entry(0, 0, 0, 0, 0);
  EXPECT_EQ(disk.layout().kind, TableKind::mbr);  // an empty one
  disk.bytes()[12] = std::byte{2};                // 512 bytes a sector
  disk.bytes()[13] = std::byte{4};
  disk.bytes()[14] = std::byte{1};
  disk.bytes()[16] = std::byte{2};
  disk.bytes()[21] = std::byte{0xf8};
  EXPECT_EQ(disk.layout().kind, TableKind::none);
  EXPECT_TRUE(disk.layout().trusted);
  disk.mbr_entry(0, 0, 0x6f, 1'000'000'000, 3, 0x80);  // the boot code's text
  EXPECT_EQ(disk.layout().kind, TableKind::none);
  disk.mbr_entry(0, 0, 0x0c, 2048, 2048, 0x80);  // both, as some USB sticks have it
  EXPECT_EQ(disk.layout().kind, TableKind::mbr);
}

TEST(Layout, OddStatusBytesAreNoTable) {
  TableDisk disk(4 * MiB);
  disk.mbr_entry(0, 0, 0x83, 2048, 2048, 0x20);
  EXPECT_EQ(disk.layout().kind, TableKind::none);
}

TEST(Layout, NamesBecomeUtf8) {
  TableDisk disk = gpt_disk(4 * MiB, 512, {{2048, 4095}});
  Layout layout = disk.layout();
  Gpt table = *layout.gpt;
  constexpr std::array<std::uint16_t, 7> units = {'a', 0xe9, 0x20ac, 0xd83d, 0xde00, 0xd800, 'z'};
  for (std::size_t i = 0; i < units.size(); ++i) {
    store_little_endian(std::span(table.array), 56 + 2 * i, units[i]);
  }
  EXPECT_EQ(table.entry(0).name, "a\u00e9\u20ac\U0001f600\ufffdz");
}

TEST(Layout, OfTinyDisks) {
  for (const std::size_t size : {0U, 1U, 511U, 512U, 513U, 1024U, 4096U}) {
    TableDisk disk(size);
    EXPECT_EQ(disk.layout().kind, TableKind::none) << size;
    if (size < 512) continue;
    disk.mbr_entry(0, 0, mbr_type_gpt, 1, 0xffffffff);
    EXPECT_EQ(disk.layout().kind, TableKind::none) << size;
    disk.mbr_entry(0, 0, 0x05, 0, 0xffffffff);
    EXPECT_EQ(disk.layout({.sector_size = 4096}).kind, TableKind::mbr) << size;
  }
}

TEST(Layout, OfAStreamsHeadGoesByTheSizeThatIsKnown) {
  TableDisk disk = gpt_disk(8 * MiB, 512, {{2048, 8191}});
  disk.bytes().resize(MiB);
  const Layout layout = disk.layout({.disk_size = 8 * MiB});
  EXPECT_TRUE(layout.partitions.front().sound);
  EXPECT_EQ(layout.least_size(), 4 * MiB + 33 * 512);
}

}  // namespace
}  // namespace formats::partitions
