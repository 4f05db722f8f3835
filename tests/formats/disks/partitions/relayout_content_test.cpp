#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/disks/filesystems/swap.hpp"
#include "formats/disks/partitions/relayout_boot_code.hpp"
#include "tests/formats/disks/partitions/relaid_disk.hpp"

namespace formats::partitions {
namespace {

using io::KiB;
using io::MiB;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// A partition of 2 MiB at 1 MiB that shrinks, and one at 4 MiB that has the content and moves.
TableDisk mover(std::uint8_t type = 0x07) {
  TableDisk disk(8 * MiB);
  disk.mbr_entry(0, 0, 0x83, 2048, 4096);
  disk.mbr_entry(0, 1, type, 8192, 4096);
  return disk;
}

void put_text(TableDisk& disk, std::uint64_t at, std::string_view text) {
  std::transform(text.begin(), text.end(), disk.bytes().begin() + static_cast<std::ptrdiff_t>(at),
                 [](char c) { return static_cast<std::byte>(c); });
}

void put_ntfs(TableDisk& disk, std::uint64_t at, std::uint32_t hidden, std::uint64_t sectors) {
  put_text(disk, at + 3, "NTFS    ");
  disk.store<std::uint16_t>(at + 11, 512);
  disk.store<std::uint32_t>(at + 28, hidden);
  disk.store<std::uint64_t>(at + 40, sectors);
  disk.store<std::uint64_t>(at + 72, 0x1122334455667788);
  disk.store<std::uint16_t>(at + 510, 0xaa55);
}

void put_fat32(TableDisk& disk, std::uint64_t at, std::uint32_t hidden) {
  disk.store<std::uint16_t>(at + 11, 512);
  disk.bytes()[at + 13] = std::byte{8};
  disk.store<std::uint16_t>(at + 14, 32);
  disk.bytes()[at + 16] = std::byte{2};
  disk.bytes()[at + 21] = std::byte{0xf8};
  disk.store<std::uint32_t>(at + 28, hidden);
  disk.store<std::uint32_t>(at + 32, 4096);
  disk.store<std::uint16_t>(at + 50, 6);
  disk.store<std::uint16_t>(at + 510, 0xaa55);
}

TEST(RelayoutContent, AMovedNtfsKnowsItsPlaceInBothBootSectors) {
  TableDisk disk = mover();
  put_ntfs(disk, 4 * MiB, 8192, 2047);
  put_ntfs(disk, 4 * MiB + 2047 * 512, 8192, 2047);  // behind the volume, which was shrunk
  put_ntfs(disk, 6 * MiB - 512, 8192, 4095);         // left over from before that
  const TableDisk smaller = relaid(disk, {{1, MiB}, {2, MiB}});
  EXPECT_EQ(smaller.load<std::uint32_t>(2 * MiB + 28), 4096U);
  EXPECT_EQ(smaller.load<std::uint32_t>(3 * MiB - 512 + 28), 4096U);
  EXPECT_EQ(smaller.bytes().size(), 3 * MiB);
  const TableDisk longer = relaid(disk, {{1, MiB}});  // not shrunk: the partition's end counts too
  EXPECT_EQ(longer.load<std::uint32_t>(3 * MiB - 512 + 28), 4096U);
  EXPECT_EQ(longer.load<std::uint32_t>(4 * MiB - 512 + 28), 8192U);  // of another volume
}

TEST(RelayoutContent, TheLastSectorOfAnNtfsPartitionHasACopyToo) {
  TableDisk disk = mover();
  put_ntfs(disk, 4 * MiB, 1, 4000);  // a wrong number before: right now
  put_ntfs(disk, 6 * MiB - 512, 1, 4000);
  const TableDisk smaller = relaid(disk, {{1, MiB}});
  EXPECT_EQ(smaller.load<std::uint32_t>(2 * MiB + 28), 4096U);
  EXPECT_EQ(smaller.load<std::uint32_t>(4 * MiB - 512 + 28), 4096U);
}

TEST(RelayoutContent, AMovedFat32KnowsItsPlaceInBothBootSectors) {
  TableDisk disk = mover(0x0c);
  put_fat32(disk, 4 * MiB, 0);
  put_fat32(disk, 4 * MiB + 6 * 512, 0);
  const TableDisk smaller = relaid(disk, {{1, MiB}});
  EXPECT_EQ(smaller.load<std::uint32_t>(2 * MiB + 28), 4096U);
  EXPECT_EQ(smaller.load<std::uint32_t>(2 * MiB + 6 * 512 + 28), 4096U);
}

TEST(RelayoutContent, WhatStaysKeepsItsBootSector) {
  TableDisk disk = mover();
  put_ntfs(disk, 4 * MiB, 1, 4095);
  const TableDisk smaller = relaid(disk, {{2, MiB, Carry::all, false}});
  EXPECT_EQ(smaller.load<std::uint32_t>(4 * MiB + 28), 1U);
}

TEST(RelayoutContent, OtherContentKeepsEveryByte) {
  TableDisk disk = mover();
  fill_randomly(disk, 9);
  std::fill_n(disk.bytes().begin() + 446, 64, std::byte{0});
  disk.mbr_entry(0, 0, 0x83, 2048, 4096);
  disk.mbr_entry(0, 1, 0x83, 8192, 4096);
  disk.store<std::uint16_t>(4 * MiB + 510, 0xaa55);  // signed, but no FAT
  expect_right(disk, {{1, MiB}}, {});
  disk.store<std::uint32_t>(4 * MiB + 28, 8192);  // extlinux and BitLocker: who has it right
  const TableDisk smaller = relaid(disk, {{1, MiB}});
  EXPECT_EQ(smaller.load<std::uint32_t>(2 * MiB + 28), 4096U);
}

TEST(RelayoutContent, ExfatIsLeftAlone) {
  TableDisk disk = mover();
  put_text(disk, 4 * MiB + 3, "EXFAT   ");
  disk.store<std::uint16_t>(4 * MiB + 510, 0xaa55);
  const TableDisk smaller = relaid(disk, {{1, MiB}});
  EXPECT_EQ(smaller.load<std::uint32_t>(2 * MiB + 28), 0U);
}

void put_swap(TableDisk& disk, std::uint64_t at, std::uint64_t page, std::uint32_t last) {
  disk.store<std::uint32_t>(at + 1024, 1);
  disk.store<std::uint32_t>(at + 1028, last);
  put_text(disk, at + 1036, "0123456789abcdef");
  put_text(disk, at + 1052, "my swap");
  put_text(disk, at + page - 10, "SWAPSPACE2");
  disk.bytes()[at + page + 100] = std::byte{1};  // an old page's content
}

TEST(RelayoutContent, SwapGetsAFreshHeader) {
  for (const std::uint64_t page : {4 * KiB, 16 * KiB, 64 * KiB}) {
    TableDisk disk = mover(0x82);
    const auto last = static_cast<std::uint32_t>(2 * MiB / page - 1);
    put_swap(disk, 4 * MiB, page, last);
    Relayout plan;
    TableDisk smaller = relaid(disk, {{1, MiB}, {2, MiB + 512, Carry::swap_header}}, {}, plan);
    DiskView area = smaller.view().part({2 * MiB, MiB + 512});
    const auto swap = filesystems::probe_swap(area);
    ASSERT_TRUE(swap);
    EXPECT_EQ(swap->size, MiB);
    EXPECT_EQ(swap->block_size, page);
    EXPECT_EQ(swap->label, "my swap");
    EXPECT_EQ(swap->uuid, "30313233-3435-3637-3839-616263646566");
    EXPECT_TRUE(is_zero(bytes_of(smaller.bytes(), 2 * MiB + page, MiB)));
    DiskView& view = disk.view();
    EXPECT_EQ(relaid_source(view.source(), plan)->extent_at(2 * MiB + page).kind,
              io::ExtentKind::hole);
  }
}

TEST(RelayoutContent, BadPagesOfSwapAreKeptAsFarAsItGoes) {
  TableDisk disk = mover(0x82);
  put_swap(disk, 4 * MiB, 4096, 511);
  disk.store<std::uint32_t>(4 * MiB + 1032, 3);
  disk.store<std::uint32_t>(4 * MiB + 1536, 500);
  disk.store<std::uint32_t>(4 * MiB + 1540, 20);
  disk.store<std::uint32_t>(4 * MiB + 1544, 256);
  const TableDisk smaller = relaid(disk, {{1, MiB}, {2, MiB, Carry::swap_header}});
  EXPECT_EQ(smaller.load<std::uint32_t>(2 * MiB + 1028), 255U);
  EXPECT_EQ(smaller.load<std::uint32_t>(2 * MiB + 1032), 1U);
  EXPECT_EQ(smaller.load<std::uint32_t>(2 * MiB + 1536), 20U);
  EXPECT_EQ(smaller.load<std::uint32_t>(2 * MiB + 1540), 0U);
}

TEST(RelayoutContent, SwapThatMustNotBeEmptiedIsRefused) {
  TableDisk disk = mover(0x82);
  EXPECT_THAT(refusal(disk, {{2, MiB, Carry::swap_header}}), HasSubstr("no swap area"));
  put_swap(disk, 4 * MiB, 4096, 511);
  EXPECT_THAT(refusal(disk, {{2, 8 * KiB, Carry::swap_header}}), HasSubstr("at least 10 pages"));
  EXPECT_EQ(refusal(disk, {{2, MiB, Carry::swap_header}}), "");
  put_text(disk, 4 * MiB + 4086, "S1SUSPEND\0");
  EXPECT_THAT(refusal(disk, {{2, MiB, Carry::swap_header}}), HasSubstr("hibernated"));
}

// --- boot code ---

void put_grub2(TableDisk& disk, std::uint64_t boot, std::uint64_t core,
               const std::vector<std::pair<std::uint64_t, std::uint16_t>>& blocks) {
  put_text(disk, boot + 0x180, "GRUB ");
  disk.store<std::uint16_t>(boot + 0x5a, 0x8000);
  disk.store<std::uint64_t>(boot + 0x5c, core);
  disk.store<std::uint16_t>(boot + 510, 0xaa55);
  std::uint64_t at = core * 512 + 0x1f4;
  std::uint16_t segment = 0x820;
  for (const auto& [first, count] : blocks) {
    disk.store<std::uint64_t>(at, first);
    disk.store<std::uint16_t>(at + 8, count);
    disk.store<std::uint16_t>(at + 10, segment);
    segment = static_cast<std::uint16_t>(segment + count * 32);
    at -= 12;
  }
}

TEST(RelayoutContent, GrubBeforeTheFirstPartitionHindersNothing) {
  TableDisk disk = mover();
  put_grub2(disk, 0, 1, {{2, 60}});
  Relayout plan;
  (void)relaid(disk, {{1, MiB}}, {}, plan);
  EXPECT_TRUE(plan.placements[1].moved());
}

TEST(RelayoutContent, APartitionThatGrubReadsByNumberStays) {
  for (const std::uint64_t boot : {std::uint64_t{0}, 4 * MiB}) {
    TableDisk disk = mover();
    put_grub2(disk, boot, 8200, {{8201, 20}, {9000, 30}});
    Relayout plan;
    (void)relaid(disk, {{1, MiB}}, {}, plan);
    EXPECT_FALSE(plan.placements[1].moved());
    EXPECT_THAT(plan.placements[1].why_not_moved, HasSubstr("reads sectors of it by number"));
    // and what it reads must not be cut off
    EXPECT_THAT(refusal(disk, {{2, 256 * KiB}}), HasSubstr("cut off"));
  }
}

TEST(RelayoutContent, WhatGrubReadsBetweenPartitionsIsNotLost) {
  TableDisk disk = mover();
  put_grub2(disk, 0, 6200, {{6201, 60}});
  EXPECT_THAT(refusal(disk, {{1, MiB}}), HasSubstr("belong to no partition"));
  disk.store<std::uint16_t>(6200 * 512 + 0x1f4 + 10, 0);  // no list: the boot code is a leftover
  EXPECT_EQ(refusal(disk, {{1, MiB}}), "");
}

TEST(RelayoutContent, GrubLegacyIsUnderstood) {
  TableDisk disk = mover();
  put_text(disk, 0x180, "GRUB ");
  disk.store<std::uint16_t>(0x3e, 0x0203);
  disk.store<std::uint16_t>(0x42, 0x8000);
  disk.store<std::uint32_t>(0x44, 8300);
  disk.store<std::uint32_t>(8300 * 512 + 0x1f8, 8301);
  disk.store<std::uint16_t>(8300 * 512 + 0x1fc, 100);
  disk.store<std::uint16_t>(8300 * 512 + 0x1fe, 0x820);
  Relayout plan;
  (void)relaid(disk, {{1, MiB}}, {}, plan);
  EXPECT_FALSE(plan.placements[1].moved());
}

TEST(RelayoutContent, NothingMovesUnderLilo) {
  TableDisk disk = mover();
  put_text(disk, 6, "LILO");
  Relayout plan;
  (void)relaid(disk, {{1, MiB}}, {}, plan);
  EXPECT_THAT(plan.placements[1].why_not_moved, HasSubstr("LILO"));
}

std::string why(TableDisk& disk, std::string_view type = "ext4") {
  const Layout layout = disk.layout();  // first: each look at the disk makes a view of its own
  const BootCode code = find_boot_code(disk.view(), layout);
  return why_blocks_stay(code, {4 * MiB, 2 * MiB}, type);  // mover()'s second partition
}

TEST(BootCode, AFileThatGrubReadsByNumberStaysWhereItIs) {
  TableDisk disk = mover();
  EXPECT_EQ(why(disk), "");
  put_grub2(disk, 0, 1, {{2, 60}});  // in the gap
  EXPECT_EQ(why(disk), "");
  put_grub2(disk, 0, 9000, {{9001, 20}});
  EXPECT_THAT(why(disk), HasSubstr("GRUB"));
  EXPECT_EQ(why(disk, "ntfs"), "");
}

TEST(BootCode, WhatIsReservedForItIsNotOfTheFileSystem) {
  TableDisk disk = mover();
  put_grub2(disk, 4 * MiB, 8193, {{8194, 60}});
  EXPECT_THAT(why(disk), HasSubstr("GRUB"));
  EXPECT_EQ(why(disk, "btrfs"), "");
}

TEST(BootCode, LiloAndExtlinuxFindTheirFilesByPlace) {
  TableDisk lilo = mover();
  put_text(lilo, 6, "LILO");
  EXPECT_THAT(why(lilo), HasSubstr("LILO"));
  TableDisk elsewhere = mover();
  put_text(elsewhere, MiB + 3, "EXTLINUX");
  EXPECT_EQ(why(elsewhere), "");
  put_text(elsewhere, 4 * MiB + 3, "EXTLINUX");
  EXPECT_THAT(why(elsewhere), HasSubstr("EXTLINUX"));
}

}  // namespace
}  // namespace formats::partitions
