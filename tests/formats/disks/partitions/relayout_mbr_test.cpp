#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/formats/disks/partitions/relaid_disk.hpp"

namespace formats::partitions {
namespace {

using io::KiB;
using io::MiB;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::uint32_t mib_sectors = 2048;

struct Logical {
  std::uint32_t ebr = 0;  // sectors, as the others
  std::uint32_t first = 0;
  std::uint32_t count = 0;
};

void clear_slots(TableDisk& disk, std::uint64_t sector_offset) {
  std::fill_n(disk.bytes().begin() + static_cast<std::ptrdiff_t>(sector_offset) + 446, 66,
              std::byte{0});
}

void put_logicals(TableDisk& disk, std::uint32_t extended, const std::vector<Logical>& logicals,
                  std::uint32_t sector_size = 512) {
  for (std::size_t index = 0; index < logicals.size(); ++index) {
    const Logical& each = logicals[index];
    const std::uint64_t at = std::uint64_t{each.ebr} * sector_size;
    clear_slots(disk, at);
    disk.mbr_entry(at, 0, each.count == 0 ? 0 : 0x83, each.count == 0 ? 0 : each.first - each.ebr,
                   each.count);
    if (index + 1 == logicals.size()) break;
    const Logical& next = logicals[index + 1];
    disk.mbr_entry(at, 1, 0x05, next.ebr - extended, next.first + next.count - next.ebr);
  }
}

// Two primary partitions, and behind them logical ones with gaps, as sfdisk lays them out.
TableDisk with_logicals() {
  TableDisk disk(24 * MiB);
  fill_randomly(disk, 3);
  clear_slots(disk, 0);
  disk.mbr_entry(0, 0, 0x83, mib_sectors, 2 * mib_sectors, 0x80);
  disk.mbr_entry(0, 2, 0x0c, 4 * mib_sectors, mib_sectors);
  disk.mbr_entry(0, 1, 0x0f, 6 * mib_sectors, 16 * mib_sectors);
  put_logicals(disk, 6 * mib_sectors,
               {{6 * mib_sectors, 7 * mib_sectors, mib_sectors},
                {8 * mib_sectors, 9 * mib_sectors, 2 * mib_sectors},
                {12 * mib_sectors, 13 * mib_sectors, mib_sectors / 2},
                {15 * mib_sectors, 15 * mib_sectors + 63, mib_sectors},
                {17 * mib_sectors, 18 * mib_sectors, 3 * mib_sectors}});
  return disk;
}

std::vector<std::uint64_t> starts_in_kib(const Relayout& plan) {
  std::vector<std::uint64_t> starts;
  for (const Placement& placement : plan.placements) starts.push_back(placement.new_start / KiB);
  return starts;
}

TEST(RelayoutMbr, TheChainOfLogicalPartitionsIsWrittenAnew) {
  TableDisk disk = with_logicals();
  const std::vector<PartitionChange> changes{{1, MiB}, {6, 512 * KiB}, {9, MiB + 512}};
  Relayout plan;
  TableDisk smaller = relaid(disk, changes, {}, plan);
  EXPECT_THAT(starts_in_kib(plan), ElementsAre(1024, 2048, 4096, 6144, 8192, 9216, 11264));
  const Layout layout = smaller.layout();
  EXPECT_EQ(*layout.extended, io::range_between(3 * MiB, 12 * MiB + 512));
  EXPECT_EQ(plan.disk_size, 13 * MiB);
  ASSERT_EQ(layout.mbr->chain.size(), 5U);
  const std::vector<std::uint64_t> gaps{2048, 2048, 2048, 63, 2048};
  for (std::size_t link = 0; link < 5; ++link) {
    const Ebr& ebr = layout.mbr->chain[link];
    EXPECT_EQ(ebr.logical.first - ebr.sector, gaps[link]);
  }
  // A link reaches from the table to the end of the partition: 5 MiB from 2 MiB in on.
  EXPECT_EQ(smaller.load<std::uint32_t>(3 * MiB + 446 + 16 + 8), 2 * mib_sectors);
  EXPECT_EQ(smaller.load<std::uint32_t>(3 * MiB + 446 + 16 + 12), mib_sectors + 1024);
  expect_right(disk, changes, {});
}

TEST(RelayoutMbr, CylindersFollowWhatMoved) {
  TableDisk disk = with_logicals();
  TableDisk smaller = relaid(disk, {{1, MiB}});
  // Sector 4096: cylinder 0, head 65, sector 2. Its end, 6143: head 97, sector 33.
  const auto slot = bytes_of(smaller.bytes(), 446 + 32, 8);
  EXPECT_EQ(std::to_integer<int>(slot[1]), 65);
  EXPECT_EQ(std::to_integer<int>(slot[2]), 2);
  EXPECT_EQ(std::to_integer<int>(slot[5]), 97);
  EXPECT_EQ(std::to_integer<int>(slot[6]), 33);
  // Partition 5 moved with its table, from which it is as far as it was: sector 8192, head 130.
  EXPECT_EQ(std::to_integer<int>(smaller.bytes()[3 * MiB + 446 + 1]), 130);
}

TEST(RelayoutMbr, NothingButTheTailGoesWhereWindowsBoots) {
  TableDisk disk = with_logicals();
  const std::vector<PartitionChange> changes{{1, MiB}, {3, MiB / 2}, {9, MiB}};
  Relayout plan;
  (void)relaid(disk, changes, {.windows_mbr = true}, plan);
  for (const Placement& placement : plan.placements) {
    EXPECT_FALSE(placement.moved());
    if (placement.number == 3) {
      EXPECT_THAT(placement.why_not_moved, HasSubstr("Windows"));
    }
  }
  EXPECT_EQ(plan.disk_size, 19 * MiB);
  expect_right(disk, changes, {.windows_mbr = true});
}

TEST(RelayoutMbr, TheRecoveryOfWindowsMovesUnlessItIsBootedFrom) {
  TableDisk disk(16 * MiB);
  disk.mbr_entry(0, 0, 0x07, mib_sectors, mib_sectors, 0x80);
  disk.mbr_entry(0, 1, 0x07, 2 * mib_sectors, 10 * mib_sectors);
  disk.mbr_entry(0, 2, 0x27, 12 * mib_sectors, 2 * mib_sectors);
  Relayout plan;
  (void)relaid(disk, {{2, 4 * MiB}}, {.windows_mbr = true}, plan);
  EXPECT_THAT(starts_in_kib(plan), ElementsAre(1024, 2048, 6144));
  EXPECT_EQ(plan.disk_size, 8 * MiB);
  disk.mbr_entry(0, 2, 0x27, 12 * mib_sectors, 2 * mib_sectors, 0x80);
  (void)relaid(disk, {{2, 4 * MiB}}, {.windows_mbr = true}, plan);
  EXPECT_THAT(starts_in_kib(plan), ElementsAre(1024, 2048, 12 * 1024));
  EXPECT_THAT(plan.placements[2].why_not_moved, HasSubstr("Windows"));
}

TEST(RelayoutMbr, TheExtendedPartitionMayComeFirst) {
  TableDisk disk(16 * MiB);
  fill_randomly(disk, 4);
  clear_slots(disk, 0);
  disk.mbr_entry(0, 0, 0x05, 63, 8 * mib_sectors);
  disk.mbr_entry(0, 1, 0x83, 10 * mib_sectors, 2 * mib_sectors, 0x80);
  put_logicals(disk, 63, {{63, 126, mib_sectors}, {4 * mib_sectors, 4 * mib_sectors + 1, 5000}});
  const std::vector<PartitionChange> changes{{5, 700 * 512}, {6, 4000 * 512}};
  Relayout plan;
  TableDisk smaller = relaid(disk, changes, {}, plan);
  EXPECT_EQ(plan.placements[1].new_start, 126U * 512);
  EXPECT_EQ(plan.placements[2].new_start, MiB);
  EXPECT_EQ(plan.placements[0].new_start, 3 * MiB);
  EXPECT_EQ(smaller.layout().mbr->chain[1].sector, mib_sectors - 1);
  expect_right(disk, changes, {});
}

TEST(RelayoutMbr, AnUnusualChainStays) {
  // The table of 6 lies before 5, as after deleting and adding.
  TableDisk disk(24 * MiB);
  fill_randomly(disk, 5);
  clear_slots(disk, 0);
  disk.mbr_entry(0, 0, 0x83, mib_sectors, 2 * mib_sectors);
  disk.mbr_entry(0, 1, 0x05, 6 * mib_sectors, 12 * mib_sectors);
  put_logicals(disk, 6 * mib_sectors,
               {{6 * mib_sectors, 9 * mib_sectors, mib_sectors},
                {7 * mib_sectors, 12 * mib_sectors, 3 * mib_sectors}});
  const std::vector<PartitionChange> changes{{1, MiB}, {5, 4096}, {6, MiB}};
  Relayout plan;
  TableDisk smaller = relaid(disk, changes, {}, plan);
  EXPECT_THAT(starts_in_kib(plan), ElementsAre(1024, 9 * 1024, 12 * 1024));
  EXPECT_THAT(plan.placements[2].why_not_moved, HasSubstr("unusual"));
  EXPECT_EQ(plan.disk_size, 13 * MiB);
  EXPECT_EQ(smaller.layout().extended->end(), 13 * MiB);
  expect_right(disk, changes, {});
}

TEST(RelayoutMbr, AnEmptyFirstLinkMovesAlong) {
  TableDisk disk(16 * MiB);
  fill_randomly(disk, 6);
  clear_slots(disk, 0);
  disk.mbr_entry(0, 0, 0x83, mib_sectors, 2 * mib_sectors);
  disk.mbr_entry(0, 3, 0x05, 5 * mib_sectors, 8 * mib_sectors);
  put_logicals(disk, 5 * mib_sectors,
               {{5 * mib_sectors, 0, 0}, {8 * mib_sectors, 9 * mib_sectors, mib_sectors}});
  Relayout plan;
  TableDisk smaller = relaid(disk, {{1, MiB}}, {}, plan);
  const Layout layout = smaller.layout();
  EXPECT_EQ(*layout.extended, io::range_between(2 * MiB, 5 * MiB));
  EXPECT_EQ(layout.mbr->chain[0].sector, 2 * mib_sectors);
  EXPECT_FALSE(layout.mbr->chain[0].logical.used());
  EXPECT_EQ(layout.mbr->chain[1].logical.first, 4 * mib_sectors);
  expect_right(disk, {{1, MiB}}, {});
}

TEST(RelayoutMbr, AnExtendedPartitionWithNothingInItKeepsItsTable) {
  TableDisk disk(16 * MiB);
  clear_slots(disk, 0);
  disk.mbr_entry(0, 0, 0x83, mib_sectors, 2 * mib_sectors);
  disk.mbr_entry(0, 1, 0x05, 5 * mib_sectors, 8 * mib_sectors);
  put_logicals(disk, 5 * mib_sectors, {{5 * mib_sectors, 0, 0}});
  Relayout plan;
  TableDisk smaller = relaid(disk, {{1, MiB}}, {}, plan);
  EXPECT_EQ(*smaller.layout().extended, io::range_between(2 * MiB, 3 * MiB));
  EXPECT_EQ(plan.disk_size, 3 * MiB);
  expect_right(disk, {{1, MiB}}, {});
}

TEST(RelayoutMbr, SectorsOf4096Bytes) {
  TableDisk disk(32 * MiB);
  fill_randomly(disk, 8);
  clear_slots(disk, 0);
  disk.mbr_entry(0, 0, 0x83, 256, 1024);
  disk.mbr_entry(0, 1, 0x05, 2048, 4096);
  put_logicals(disk, 2048, {{2048, 2304, 700}, {3072, 3328, 256}}, 4096);
  expect_right(disk, {{1, MiB}, {5, MiB}}, {}, {.sector_size = 4096});
}

TEST(RelayoutMbr, TablesInsideOfPartitionsAreRefused) {
  TableDisk disk = with_logicals();
  disk.mbr_entry(0, 2, 0x0c, 5 * mib_sectors, 2 * mib_sectors);  // into the extended one
  EXPECT_THAT(refusal(disk, {}), HasSubstr("overlap"));
  TableDisk whole(4 * MiB);
  whole.mbr_entry(0, 0, 0x83, 0, mib_sectors);  // an ISO's
  EXPECT_THAT(refusal(whole, {}), HasSubstr("overlap"));
}

TEST(RelayoutMbr, SlicesThatMayCountFromTheDisksBeginningStay) {
  TableDisk disk = with_logicals();
  disk.mbr_entry(0, 2, 0xa5, 4 * mib_sectors, mib_sectors);
  Relayout plan;
  (void)relaid(disk, {{1, MiB}}, {}, plan);
  EXPECT_EQ(plan.placements[1].new_start, 4 * MiB);
  EXPECT_THAT(plan.placements[1].why_not_moved, HasSubstr("slices"));
}

// Primary partitions and logical ones at random, some tables right before their partitions, some
// elsewhere in the gap.
TEST(RelayoutMbr, ARandomTableComesOutRight) {
  for (unsigned seed = 1; seed <= 80; ++seed) {
    std::mt19937 random(seed);
    const auto below = [&](std::uint32_t limit) {
      return static_cast<std::uint32_t>(random() % limit);
    };
    std::vector<PartitionChange> changes;
    const auto change = [&](unsigned number, std::uint32_t count) {
      if (below(3) == 0) return;
      changes.push_back({number, 1 + below(count * 512),
                         below(4) == 0 ? Carry::nothing : Carry::all, below(6) != 0});
    };
    TableDisk disk(3 * MiB);
    fill_randomly(disk, seed);
    clear_slots(disk, 0);
    std::uint32_t at = 1 + below(200);
    const unsigned extended_slot = below(4);
    for (unsigned slot = 0; slot < 4; ++slot) {
      at += below(2) * below(150);
      if (slot != extended_slot) {
        const std::uint32_t count = 1 + below(300);
        disk.mbr_entry(0, slot, 0x83, at, count, slot == 0 ? 0x80 : 0);
        change(slot + 1, count);
        at += count;
        continue;
      }
      const std::uint32_t extended = at;
      std::vector<Logical> logicals;
      const std::uint32_t wanted = 1 + below(6);
      for (std::uint32_t index = 0; index < wanted; ++index) {
        const std::uint32_t ebr = index == 0 ? at : at + below(2) * below(100);
        const std::uint32_t first = ebr + 1 + below(2) * below(260);
        const std::uint32_t count = 1 + below(300);
        logicals.push_back({ebr, first, count});
        change(5 + index, count);
        at = first + count;
      }
      at += below(100);
      disk.mbr_entry(0, slot, 0x05, extended, at - extended);
      put_logicals(disk, extended, logicals);
    }
    ASSERT_LE(at, 3 * MiB / 512);
    expect_right(disk, changes, {.windows_mbr = below(8) == 0, .alignment = 32 * KiB});
    ASSERT_FALSE(testing::Test::HasFailure()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace formats::partitions
