// The step that fits a burned partition table to its disk, on disks that cheat and vanish.
#include "imgtool/jobs/partition_table_fit.hpp"

#include <algorithm>
#include <cerrno>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/error.hpp"
#include "io/task_group.hpp"
#include "tests/formats/disks/partitions/table_disk.hpp"
#include "tests/imgtool/jobs/fake_place.hpp"

namespace imgtool {
namespace {

using formats::partitions::gpt_disk;
using formats::partitions::TableDisk;
using io::MiB;
using testing::HasSubstr;

constexpr std::uint64_t fitted_image_size = 4 * MiB;

class PartitionTableFitTest : public testing::Test {
 protected:
  // `image` as a source, and a started disk that holds it already.
  void put(const TableDisk& image, FakePlace& place) {
    const auto& bytes = image.bytes();
    io::AlignedMemory memory(bytes.size());
    std::copy(bytes.begin(), bytes.end(), memory.bytes().begin());
    image_ = std::make_unique<io::MemorySource>("image", std::move(memory), bytes.size());
    place_ = &place;
    medium_ = place.start(*ring_);
    const io::AlignedMemory copy(bytes.size());
    std::copy(bytes.begin(), bytes.end(), copy.bytes().begin());
    io::run_task(*ring_, medium_->target().write(0, copy.buffer().first(bytes.size())));
  }
  PartitionTableChange run(const PartitionTableOptions& options = {}) {
    const PartitionTableFit step(*ring_, options);
    return step.run(*image_, MiB, *place_, *medium_, [this](const std::vector<io::Patch>& some) {
      for (const io::Patch& patch : some) announced_.push_back(patch.range());
    });
  }

  std::unique_ptr<io::Ring> ring_ = io::make_ring({}).ring;
  std::unique_ptr<io::MemorySource> image_;
  FakePlace* place_ = nullptr;
  std::unique_ptr<BurnMedium> medium_;
  std::vector<io::ByteRange> announced_;
};

TEST_F(PartitionTableFitTest, WritesTheBackupAtTheEndAndHandsBackTheHead) {
  FakePlace place("disk", 8 * MiB);
  put(gpt_disk(fitted_image_size, 512, {{2048, 4095}}), place);
  const auto change = run();
  EXPECT_TRUE(change.fit.backup_moved);
  EXPECT_FALSE(announced_.empty());
  EXPECT_FALSE(change.head.empty());
  for (const io::Patch& patch : change.head) EXPECT_LE(patch.range().end(), MiB);
  const std::string signature = "EFI PART";
  const auto at = place.cells().end() - 512;
  EXPECT_TRUE(std::equal(signature.begin(), signature.end(), at,
                         [](char a, std::byte b) { return static_cast<std::byte>(a) == b; }));
}

TEST_F(PartitionTableFitTest, ADiskOfTheSameSizeIsNotWritten) {
  FakePlace place("disk", fitted_image_size);
  put(gpt_disk(fitted_image_size, 512, {{2048, 4095}}), place);
  const auto writes = place.log().size();
  EXPECT_TRUE(run().nothing());
  EXPECT_EQ(place.log().size(), writes);
}

TEST_F(PartitionTableFitTest, ADiskThatLosesItsEndFails) {
  FakePlace place("disk", 8 * MiB, 6 * MiB, Cheat::loses);
  put(gpt_disk(fitted_image_size, 512, {{2048, 4095}}), place);
  try {
    (void)run();
    FAIL() << "a lost backup GPT was taken for written";
  } catch (const io::Error& error) {
    EXPECT_EQ(error.kind(), io::ErrorKind::mismatch);
    EXPECT_THAT(error.what(), HasSubstr("reads back other bytes"));
  }
}

TEST_F(PartitionTableFitTest, ADiskThatVanishesFails) {
  FakePlace place("disk", 8 * MiB);
  put(gpt_disk(fitted_image_size, 512, {{2048, 4095}}), place);
  place.before = [&place](const std::string& what, io::ByteRange range) {
    if (what == "write") place.vanish(what, range);
  };
  EXPECT_THROW((void)run(), io::Error);
}

TEST_F(PartitionTableFitTest, AnOldBackupBehindTheImageIsWiped) {
  FakePlace place("disk", 8 * MiB);
  put(gpt_disk(8 * MiB, 512, {{2048, 4095}}), place);  // the disk's earlier life
  TableDisk plain(fitted_image_size);
  plain.mbr_entry(0, 0, 0x83, 2048, 2048);
  put(plain, place);
  const auto change = run();
  EXPECT_FALSE(change.strays.empty());
  EXPECT_TRUE(place.holds_zeros({8 * MiB - 512, 512}));
}

TEST_F(PartitionTableFitTest, NeverLeavesEverythingAlone) {
  FakePlace place("disk", 8 * MiB);
  put(gpt_disk(fitted_image_size, 512, {{2048, 4095}}), place);
  const auto writes = place.log().size();
  EXPECT_TRUE(run({RelocateGpt::never, false}).nothing());
  EXPECT_EQ(place.log().size(), writes);
}

TEST_F(PartitionTableFitTest, ATableForOtherSectorsIsRefusedBeforehand) {
  FakePlace place("disk", 8 * MiB);
  put(gpt_disk(fitted_image_size, 4096, {{256, 511}}), place);
  const PartitionTableFit step(*ring_, {});
  EXPECT_THROW(step.check(*image_, true, place), io::Error);
  EXPECT_NO_THROW(
      PartitionTableFit(*ring_, {RelocateGpt::never, false}).check(*image_, true, place));
}

TEST_F(PartitionTableFitTest, AStreamOfAWholeDiskIsNotForAPartition) {
  FakePlace place("partition", 8 * MiB);
  place.partition = true;
  put(gpt_disk(fitted_image_size, 512, {{2048, 4095}}), place);
  EXPECT_THROW(PartitionTableFit(*ring_, {}).check(*image_, false, place), io::Error);
  PartitionTableOptions options;
  options.any_place = true;
  EXPECT_NO_THROW(PartitionTableFit(*ring_, options).check(*image_, false, place));
}

TEST_F(PartitionTableFitTest, AStreamWithoutATableHasNothingThatCouldGrow) {
  FakePlace place("disk", 8 * MiB);
  put(TableDisk(MiB), place);
  const PartitionTableFit step(*ring_, {RelocateGpt::automatic, true});
  EXPECT_THROW(step.check(*image_, false, place), io::Error);
}

}  // namespace
}  // namespace imgtool
