#include "formats/disks/partitions/gpt.hpp"

#include <gmock/gmock.h>

#include "tests/formats/disks/partitions/table_disk.hpp"

namespace formats::partitions {
namespace {

using io::MiB;
using testing::HasSubstr;

class GptTest : public testing::Test {
 protected:
  std::optional<GptCopy> copy(std::uint64_t block = 1, std::uint64_t sector_size = 512) {
    problem.clear();
    return read_gpt_copy(disk.view(), sector_size, block, problem);
  }

  static constexpr std::uint64_t blocks = 8 * MiB / 512;
  TableDisk disk = gpt_disk(8 * MiB, 512, {{2048, 4095}, {8192, 10239}});
  std::string problem;
};

TEST_F(GptTest, BothCopiesAreReadAndNameEachOther) {
  const auto first = copy();
  const auto second = copy(blocks - 1);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->table.array, second->table.array);
  EXPECT_EQ(first->table.disk_id, second->table.disk_id);
  EXPECT_EQ(first->other, blocks - 1);
  EXPECT_EQ(second->other, 1U);
  EXPECT_EQ(first->entries_at, 2U);
  EXPECT_EQ(second->entries_at, blocks - 33);
}

TEST_F(GptTest, EntriesHaveTypeIdRangeAndName) {
  const Gpt table = copy()->table;
  const GptEntry entry = table.entry(1);
  EXPECT_TRUE(entry.used());
  EXPECT_EQ(entry.type, guid_of(0x77));
  EXPECT_EQ(entry.id, guid_of(2));
  EXPECT_EQ(entry.first, 8192U);
  EXPECT_EQ(entry.last, 10239U);
  EXPECT_EQ(entry.name, "p2");
  EXPECT_FALSE(table.entry(2).used());
  EXPECT_EQ(table.end_of_partitions(), 10240U);
  EXPECT_EQ(table.array_blocks(), 32U);
  EXPECT_EQ(table.least_blocks(), 10240U + 33);
}

TEST_F(GptTest, FittedToAnotherDiskItIsReadThere) {
  Gpt table = copy()->table;
  table.fit(blocks * 2);
  EXPECT_EQ(table.last_usable, blocks * 2 - 34);
  TableDisk larger(16 * MiB);
  larger.put(table.primary_patches());
  larger.put(table.backup_patches());
  for (const std::uint64_t block : {std::uint64_t{1}, blocks * 2 - 1}) {
    const auto read = read_gpt_copy(larger.view(), 512, block, problem);
    ASSERT_TRUE(read) << problem;
    EXPECT_EQ(read->table.array, table.array);
    EXPECT_EQ(read->table.last_usable, table.last_usable);
    EXPECT_EQ(read->header_at, block);
  }
}

TEST_F(GptTest, AChangedRangeIsReadAgain) {
  Gpt table = copy()->table;
  table.set_range(1, 8192, 9000);
  disk.put(table.primary_patches());
  EXPECT_EQ(copy()->table.entry(1).last, 9000U);
}

TEST_F(GptTest, EveryBitOfAHeaderCounts) {
  for (std::size_t at = 512 + 8; at < 512 + 92; ++at) {
    disk.bytes()[at] ^= std::byte{1};
    EXPECT_FALSE(copy()) << at;
    EXPECT_FALSE(problem.empty()) << at;
    disk.bytes()[at] ^= std::byte{1};
  }
  EXPECT_TRUE(copy());
}

TEST_F(GptTest, EveryEntryCounts) {
  for (const std::size_t index : {0U, 1U, 127U}) {
    disk.bytes()[1024 + index * 128 + 100] ^= std::byte{1};
    EXPECT_FALSE(copy());
    EXPECT_THAT(problem, HasSubstr("checksum"));
    disk.bytes()[1024 + index * 128 + 100] ^= std::byte{1};
  }
}

TEST_F(GptTest, WithoutASignatureThereIsNoneAndNoProblem) {
  disk.bytes()[512] = std::byte{'e'};
  EXPECT_FALSE(copy());
  EXPECT_EQ(problem, "");
  EXPECT_FALSE(copy(7));
  EXPECT_EQ(problem, "");
}

TEST_F(GptTest, TheHeaderTellsTheSizeOfTheSectors) {
  EXPECT_EQ(gpt_sector_size(disk.view()), 512U);
  TableDisk native = gpt_disk(8 * MiB, 4096, {{256, 511}});
  EXPECT_EQ(gpt_sector_size(native.view()), 4096U);
  EXPECT_EQ(gpt_sector_size(TableDisk(MiB).view()), std::nullopt);
}

}  // namespace
}  // namespace formats::partitions
