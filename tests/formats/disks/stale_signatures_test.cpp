#include "formats/disks/stale_signatures.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/formats/disks/partitions/table_disk.hpp"

namespace formats {
namespace {

using io::KiB;
using io::MiB;
using partitions::TableDisk;

constexpr std::uint64_t stale_disk_size = 8 * MiB + 4 * KiB;

void put_stale_text(TableDisk& disk, std::uint64_t at, std::string_view text) {
  for (const char c : text) disk.bytes()[at++] = static_cast<std::byte>(c);
}

void expect_one_stale(TableDisk& disk, const std::string& what, io::ByteRange range) {
  const auto found = stale_signatures(disk.view(), MiB);
  ASSERT_EQ(found.size(), 1U) << what;
  EXPECT_EQ(found.front().what, what);
  EXPECT_EQ(found.front().range, range);
  EXPECT_TRUE(stale_signatures(disk.view(), range.offset + 1).empty());
}

TEST(StaleSignatures, AnEmptyDiskHasNone) {
  TableDisk disk(stale_disk_size);
  EXPECT_TRUE(stale_signatures(disk.view(), 0).empty());
  TableDisk tiny(64 * KiB);
  EXPECT_TRUE(stale_signatures(tiny.view(), 0).empty());
}

TEST(StaleSignatures, MdOfBothOldVersions) {
  TableDisk old(stale_disk_size);
  old.store<std::uint32_t>(8 * MiB - 64 * KiB, 0xa92b4efc);
  expect_one_stale(old, "md RAID 0.90", {8 * MiB - 64 * KiB, 4 * KiB});
  TableDisk one(stale_disk_size);
  one.store<std::uint32_t>(stale_disk_size - 8 * KiB, 0xa92b4efc);
  expect_one_stale(one, "md RAID 1.0", {stale_disk_size - 8 * KiB, 4 * KiB});
}

TEST(StaleSignatures, DdfAndIntel) {
  TableDisk ddf(stale_disk_size);
  ddf.store<std::uint32_t>(stale_disk_size - 512, 0x11de11de);
  expect_one_stale(ddf, "DDF RAID", {stale_disk_size - 512, 512});
  TableDisk intel(stale_disk_size);
  put_stale_text(intel, stale_disk_size - 1024, "Intel Raid ISM Cfg Sig. 1.3.00");
  expect_one_stale(intel, "Intel RAID", {stale_disk_size - 1024, 1024});
}

TEST(StaleSignatures, AZfsLabelByAnyOfItsUberblocks) {
  TableDisk disk(stale_disk_size);
  disk.store<std::uint64_t>(8 * MiB - 256 * KiB + 128 * KiB + 5 * KiB, 0x00bab10c);
  expect_one_stale(disk, "ZFS", {8 * MiB - 256 * KiB, 256 * KiB});
}

TEST(StaleSignatures, ThoseThatOverlapAreOne) {
  TableDisk disk(stale_disk_size);
  disk.store<std::uint64_t>(8 * MiB - 256 * KiB + 128 * KiB, 0x00bab10c);
  disk.store<std::uint32_t>(8 * MiB - 64 * KiB, 0xa92b4efc);
  const auto found = stale_signatures(disk.view(), MiB);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found.front().what, "ZFS, md RAID 0.90");
  EXPECT_EQ(found.front().range, (io::ByteRange{8 * MiB - 256 * KiB, 256 * KiB}));
}

}  // namespace
}  // namespace formats
