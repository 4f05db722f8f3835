#include "formats/disks/end_of_use.hpp"

#include <gmock/gmock.h>

#include "io/overlay_source.hpp"
#include "tests/formats/disks/partitions/table_disk.hpp"

namespace formats {
namespace {

using io::MiB;
using partitions::gpt_disk;
using partitions::TableDisk;
using testing::HasSubstr;

void put(TableDisk& disk, std::size_t offset, std::string_view text) {
  std::transform(text.begin(), text.end(),
                 disk.bytes().begin() + static_cast<std::ptrdiff_t>(offset),
                 [](char c) { return static_cast<std::byte>(c); });
}

EndOfUse end_of(TableDisk& disk) {
  const auto layout = disk.layout();
  return end_of_use(disk.view(), layout);
}
Remains remains(TableDisk& disk, std::uint64_t at, Reach reach = Reach::all) {
  const auto layout = disk.layout();
  return remains_behind(disk.view(), layout, at, reach);
}

// One primary, and two logical partitions inside the third.
TableDisk mbr_disk() {
  TableDisk disk(16 * MiB);
  disk.mbr_entry(0, 0, 0x83, 2048, 2048, 0x80);
  disk.mbr_entry(0, 2, 0x05, 8192, 16384);
  disk.mbr_entry(8192 * 512, 0, 0x83, 2048, 2048);
  disk.mbr_entry(8192 * 512, 1, 0x05, 8192, 6144);
  disk.mbr_entry(16384 * 512, 0, 0x82, 2048, 6144);
  return disk;
}

TEST(EndOfUse, IsBehindTheLastPartition) {
  TableDisk gpt = gpt_disk(8 * MiB, 512, {{4096, 8191}, {2048, 4095}});
  EXPECT_EQ(end_of(gpt).bytes, 4 * MiB + 33 * 512);
  EXPECT_THAT(end_of(gpt).because, HasSubstr("partition 1 ends there, and the backup"));
  TableDisk mbr = mbr_disk();
  EXPECT_EQ(end_of(mbr).bytes, 24576U * 512);
  EXPECT_EQ(end_of(mbr).because, "partition 6 ends there");
  mbr.mbr_entry(0, 2, 0x05, 8192, 20000);
  EXPECT_EQ(end_of(mbr).because, "the extended partition ends there");
}

TEST(EndOfUse, OfAFileSystemIsItsOwn) {
  TableDisk disk(4 * MiB);  // a swap area of 2 MiB, at least to itself
  put(disk, 4086, "SWAPSPACE2");
  disk.store<std::uint32_t>(1024, 1);
  disk.store<std::uint32_t>(1028, 511);
  EXPECT_EQ(end_of(disk).bytes, 2 * MiB);
  EXPECT_EQ(end_of(disk).because, "a file system (swap) ends there");
  disk.store<std::uint32_t>(1024, 7);  // of a version that is not known
  EXPECT_EQ(end_of(disk).bytes, 4 * MiB);
}

TEST(EndOfUse, WithoutATableIsBehindTheLastData) {
  TableDisk disk(4 * MiB);
  EXPECT_EQ(end_of(disk).bytes, 4 * MiB);  // all of it is stored
  TableDisk stored(MiB);
  DiskView& base = stored.view();
  io::OverlaySource sparse(base.source(), {}, 4 * MiB);
  DiskView view(base.ring(), sparse);
  EXPECT_EQ(end_of_use(view, partitions::read_layout(view)).bytes, MiB);
}

TEST(EndOfUse, IsTheWholeDiskWhereItIsAMemberToo) {
  TableDisk disk = mbr_disk();
  put(disk, 4096, "\xfc\x4e\x2b\xa9");  // md 1.2
  EXPECT_EQ(end_of(disk).bytes, 16 * MiB);
  EXPECT_THAT(end_of(disk).because, HasSubstr("linux_raid_member"));
}

TEST(EndOfUse, IsTheWholeDiskWhereTheTableCannotBeReliedOn) {
  TableDisk disk = mbr_disk();
  disk.mbr_entry(0, 3, 0x85, 26624, 1024);  // a second extended partition
  EXPECT_EQ(end_of(disk).bytes, 16 * MiB);
  EXPECT_THAT(end_of(disk).because, HasSubstr("relied on"));
}

TEST(EndOfUse, OfAnIsoImageThatStartsFromSticksIsItsTables) {
  TableDisk disk = mbr_disk();
  put(disk, 32769, "CD001");
  EXPECT_EQ(end_of(disk).because, "partition 6 ends there");
}

TEST(Remains, AreWhatIsNotZerosBehindThePlace) {
  TableDisk disk = mbr_disk();
  EXPECT_EQ(remains(disk, 13 * MiB).bytes, 0U);
  put(disk, 14 * MiB + 5, "x");
  put(disk, 15 * MiB, "y");
  const Remains found = remains(disk, 13 * MiB);
  EXPECT_EQ(found.bytes, 8192U);
  EXPECT_EQ(found.range, io::range_between(14 * MiB, 15 * MiB + 4096));
  EXPECT_EQ(remains(disk, 14 * MiB + 4096).bytes, 4096U);
  EXPECT_EQ(remains(disk, 16 * MiB).bytes, 0U);
}

TEST(Remains, AtBothEndsAreLookedForThereOnly) {
  TableDisk disk(16 * MiB);
  put(disk, 8 * MiB, "in the middle");
  EXPECT_EQ(remains(disk, 2 * MiB, Reach::both_ends).bytes, 0U);
  EXPECT_EQ(remains(disk, 2 * MiB, Reach::all).bytes, 4096U);
  put(disk, 3 * MiB - 1, "x");
  put(disk, 12 * MiB, "y");
  EXPECT_EQ(remains(disk, 2 * MiB, Reach::both_ends).bytes, 8192U);
}

TEST(Remains, AreNoBackupOfAGpt) {
  TableDisk disk = gpt_disk(8 * MiB, 512, {{2048, 4095}});
  EXPECT_EQ(remains(disk, 4 * MiB).bytes, 0U);
  put(disk, 8 * MiB - 512 + 40, "x");  // its header is damaged, its entries are the table's own
  EXPECT_EQ(remains(disk, 4 * MiB).bytes, 0U);
  put(disk, 8 * MiB - 8192, "\xfc\x4e\x2b\xa9");  // md 1.0 where the entries were
  EXPECT_GT(remains(disk, 4 * MiB).bytes, 0U);
}

}  // namespace
}  // namespace formats
