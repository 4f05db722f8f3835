#include "formats/disks/partitions/truncation.hpp"

#include <gtest/gtest.h>

#include "tests/formats/disks/partitions/table_disk.hpp"

namespace formats::partitions {
namespace {

using io::MiB;

std::optional<Truncation> truncation_of(TableDisk& disk) {
  const Layout layout = disk.layout();
  return find_truncation(disk.view(), layout);
}

TEST(Truncation, AGptWhoseLastPartitionIsCut) {
  TableDisk disk = gpt_disk(8 * MiB, 512, {{2048, 4095}, {4096, 12287}});
  EXPECT_FALSE(truncation_of(disk));
  disk.bytes().resize(5 * MiB);
  const auto found = truncation_of(disk);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->partition, 2U);
  EXPECT_EQ(found->missing_bytes, MiB);
  EXPECT_EQ(found->end, 6 * MiB);
}

TEST(Truncation, AGptWithoutItsBackupHasAllOfItsPartitions) {
  TableDisk disk = gpt_disk(8 * MiB, 512, {{2048, 4095}, {4096, 12287}});
  disk.bytes().resize(6 * MiB);
  EXPECT_FALSE(truncation_of(disk));
}

TEST(Truncation, AnMbrNamesTheFirstPartitionThatIsNotWhole) {
  TableDisk disk(4 * MiB);
  disk.mbr_entry(0, 0, 0x83, 2048, 2048);
  disk.mbr_entry(0, 1, 0x83, 4096, 8192);
  disk.mbr_entry(0, 2, 0x83, 12288, 2048);
  const auto found = truncation_of(disk);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->partition, 2U);
  EXPECT_EQ(found->missing_bytes, 3 * MiB);
}

TEST(Truncation, AHybridIsoRoundsUpToACylinder) {
  TableDisk disk(4 * MiB);
  disk.mbr_entry(0, 0, 0x17, 0, (4 * MiB + MiB) / 512, 0x80);
  EXPECT_TRUE(truncation_of(disk));
  std::size_t at = 32'769;
  for (const char c : std::string("CD001")) disk.bytes()[at++] = static_cast<std::byte>(c);
  EXPECT_FALSE(truncation_of(disk));
  disk.mbr_entry(0, 0, 0x17, 0, (4 * MiB + 9 * MiB) / 512, 0x80);
  EXPECT_TRUE(truncation_of(disk));
}

}  // namespace
}  // namespace formats::partitions
