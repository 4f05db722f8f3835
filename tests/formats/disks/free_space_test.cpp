#include "formats/disks/free_space.hpp"

#include <gmock/gmock.h>

#include "formats/disks/partitions/gpt.hpp"
#include "tests/formats/disks/filesystems/sparse_disk.hpp"

namespace formats {
namespace {

using filesystems::Reason;
using filesystems::SparseDisk;
using testing::IsEmpty;

// Two partitions of 32 MiB, at 1 and 33 MiB.
class TwoPartitions : public testing::Test {
 protected:
  static constexpr std::uint64_t first = io::MiB, second = 33 * io::MiB, length = 32 * io::MiB;

  TwoPartitions() {
    entry(0, first);
    entry(1, second);
    disk.put<std::uint16_t>(510, 0xaa55);
  }
  void entry(unsigned slot, std::uint64_t begin) {
    const std::uint64_t at = 446 + std::uint64_t{slot} * 16;
    disk.put<std::uint8_t>(at + 4, 0x83);
    disk.put(at + 8, static_cast<std::uint32_t>(begin / 512));
    disk.put(at + 12, static_cast<std::uint32_t>(length / 512));
  }
  void swap_area(std::uint64_t begin) {
    disk.put<std::uint32_t>(begin + 1024, 1);
    disk.put<std::uint32_t>(begin + 1028, length / 4096 - 1);
    disk.put_text(begin + 4086, "SWAPSPACE2");
  }
  FreeSpace found(const FreeSpaceOptions& options = {}) {
    DiskView view(filesystems::shared_ring(), disk);
    return find_free_space(view, options);
  }

  SparseDisk disk{80 * io::MiB};
};

TEST_F(TwoPartitions, AreFoundByNumber) {
  swap_area(second);
  const FreeSpace space = found();
  EXPECT_EQ(space.layout.partitions.size(), 2U);
  const Volume* swap = space.find(VolumeId::of_partition(2));
  ASSERT_NE(swap, nullptr);
  EXPECT_EQ(swap->file_system.reason, Reason::none);
  EXPECT_THAT(swap->free, testing::ElementsAre(io::ByteRange{second + 4096, length - 4096}));
  EXPECT_THAT(space.witnesses, testing::ElementsAre(io::ByteRange{second, 4096}));
  EXPECT_EQ(space.find(VolumeId::of_partition(1))->file_system.reason, Reason::unknown);
  EXPECT_EQ(space.find(VolumeId::disk()), nullptr);
}

TEST_F(TwoPartitions, AreHashedWhateverReasonStoodFirst) {
  disk.put_text(second, std::string_view("verity\0\0", 8));
  disk.put_text(first + 3, "-FVE-FS-");
  FreeSpace space = found();
  EXPECT_EQ(space.volumes[0].file_system.reason, Reason::encrypted);
  EXPECT_TRUE(space.volumes[0].hashed);

  disk.put_text(first + 3, "        ");
  swap_area(first);
  space = found();
  EXPECT_EQ(space.volumes[0].file_system.reason, Reason::hashed);
  EXPECT_TRUE(space.volumes[0].hashed);
  EXPECT_THAT(space.free, IsEmpty());
}

TEST_F(TwoPartitions, AreHashedByWhatIsAmbiguousToo) {
  swap_area(first);
  swap_area(second);
  disk.put_text(second + length - 64, "AVBf");
  const FreeSpace space = found();
  EXPECT_EQ(space.volumes[1].file_system.reason, Reason::ambiguous);
  EXPECT_EQ(space.volumes[0].file_system.reason, Reason::hashed);
  EXPECT_THAT(space.free, IsEmpty());
}

TEST_F(TwoPartitions, ThatAreInUseNeedNotStayAsTheyAre) {
  swap_area(first);
  FreeSpaceOptions options;
  options.in_use = {{io::ByteRange{first, length}, "is mounted", ""}};
  const FreeSpace space = found(options);
  EXPECT_EQ(space.volumes[0].file_system.reason, Reason::in_use);
  EXPECT_THAT(space.free, IsEmpty());
  EXPECT_THAT(space.witnesses, IsEmpty());
}

// Each table has one partition, which holds the next one; the last has swap.
class NestedTables : public testing::Test {
 protected:
  void nest(unsigned depth) {
    std::uint64_t begin = 0;
    std::uint64_t length = disk.size().value();
    for (unsigned i = 0; i < depth; ++i) {
      disk.put<std::uint8_t>(begin + 446 + 4, 0x83);
      disk.put<std::uint32_t>(begin + 446 + 8, 200);
      disk.put(begin + 446 + 12, static_cast<std::uint32_t>(length / 512 - 200));
      disk.put<std::uint16_t>(begin + 510, 0xaa55);
      begin += 200 * 512;
      length -= 200 * 512;
    }
    disk.put<std::uint32_t>(begin + 1024, 1);
    disk.put(begin + 1028, static_cast<std::uint32_t>(length / 4096 - 1));
    disk.put_text(begin + 4086, "SWAPSPACE2");
    swap = {begin, length};
  }
  FreeSpace found(const FreeSpaceOptions& options = {}) {
    DiskView view(filesystems::shared_ring(), disk);
    return find_free_space(view, options);
  }

  SparseDisk disk{io::MiB};
  io::ByteRange swap;
};

TEST_F(NestedTables, AreDisksInsideOfVolumes) {
  nest(3);
  const FreeSpace space = found();
  ASSERT_EQ(space.volumes.size(), 3U);
  EXPECT_EQ(space.volumes[0].name(), "partition 1");
  EXPECT_EQ(space.volumes[0].file_system.type, "dos");
  EXPECT_EQ(space.volumes[2].name(), "partition 1 in partition 1 in partition 1");
  EXPECT_EQ(space.volumes[2].range, swap);
  EXPECT_TRUE(space.volumes[2].id.in_one_piece());
  EXPECT_THAT(space.free,
              testing::ElementsAre(io::ByteRange{swap.offset + 4096, swap.length - 4096}));
  EXPECT_THAT(space.witnesses, testing::ElementsAre(io::ByteRange{swap.offset, 4096}));
}

TEST_F(NestedTables, AreKeptWholeWhereOthersDoNotLookInside) {
  nest(2);
  const FreeSpace space = found({.look_inside = false});
  ASSERT_EQ(space.volumes.size(), 1U);
  EXPECT_EQ(space.volumes[0].file_system.reason, Reason::unknown);
  EXPECT_THAT(space.free, IsEmpty());
}

TEST_F(NestedTables, AreNotFollowedForEver) {
  nest(5);
  EXPECT_EQ(found().volumes.size(), 5U);
  disk = SparseDisk(io::MiB);
  nest(6);
  const FreeSpace space = found();
  ASSERT_EQ(space.volumes.size(), 5U);
  EXPECT_EQ(space.volumes.back().file_system.reason, Reason::unknown);
  EXPECT_THAT(space.free, IsEmpty());
}

TEST_F(NestedTables, InUseAreKeptWhole) {
  nest(2);
  FreeSpaceOptions options;
  options.in_use = {{swap, "is mounted", ""}};
  const FreeSpace space = found(options);
  ASSERT_EQ(space.volumes.size(), 1U);
  EXPECT_EQ(space.volumes[0].file_system.reason, Reason::in_use);
}

// Four partitions in each of four partitions, and so on.
void fill_with_tables(SparseDisk& disk, std::uint64_t begin, std::uint64_t sectors, int depth) {
  if (depth == 0) return;
  disk.put<std::uint16_t>(begin + 510, 0xaa55);
  const std::uint64_t each = (sectors - 1) / 4;
  for (std::uint64_t i = 0; i < 4; ++i) {
    const std::uint64_t slot = begin + 446 + 16 * i;
    disk.put<std::uint8_t>(slot + 4, 0x83);
    disk.put(slot + 8, static_cast<std::uint32_t>(1 + i * each));
    disk.put(slot + 12, static_cast<std::uint32_t>(each));
    fill_with_tables(disk, begin + (1 + i * each) * 512, each, depth - 1);
  }
}

TEST_F(NestedTables, AreNotFollowedIntoTooManyVolumes) {
  disk = SparseDisk(16 * io::MiB);
  fill_with_tables(disk, 0, 32768, 6);
  const FreeSpace space = found();
  EXPECT_GT(space.volumes.size(), 500U);
  EXPECT_LE(space.volumes.size(), 1024U);
  EXPECT_THAT(space.free, IsEmpty());
}

// --- work ---

// As many partitions as a GPT can have, each of them a hole but for the first.
TEST(ManyPartitions, ThatAreHolesAreNotRead) {
  constexpr std::uint32_t count = 32768;
  constexpr std::uint64_t length = 2048;  // sectors
  partitions::Gpt table;
  table.sector_size = 512;
  table.entry_count = count;
  table.entry_size = 128;
  table.array.resize(std::size_t{count} * 128);
  table.header.resize(92);
  std::copy_n(std::as_bytes(std::span("EFI PART")).begin(), 8, table.header.begin());
  store_little_endian<std::uint32_t>(table.header, 8, 0x10000);
  store_little_endian<std::uint32_t>(table.header, 12, 92);
  table.first_usable = 2 + table.array_blocks();
  const std::uint64_t begin = 16384;
  for (std::uint32_t index = 0; index < count; ++index) {
    std::fill_n(table.array.begin() + index * 128, 16, std::byte{0x77});
    store_little_endian(std::span(table.array), index * 128 + 16, index + 1);
    table.set_range(index, begin + index * length, begin + (index + 1) * length - 1);
  }
  const std::uint64_t blocks = begin + count * length + 16384;
  table.backup = blocks - 1;
  table.last_usable = table.backup - table.array_blocks() - 1;
  SparseDisk disk(blocks * 512);
  disk.tells_holes = true;
  for (const auto& patches : {table.primary_patches(), table.backup_patches()}) {
    for (const io::Patch& patch : patches) disk.write(patch.offset, patch.bytes);
  }
  disk.put<std::uint8_t>(446 + 4, 0xee);
  disk.put<std::uint32_t>(446 + 8, 1);
  disk.put(446 + 12, static_cast<std::uint32_t>(blocks - 1));
  disk.put<std::uint16_t>(510, 0xaa55);
  disk.put_text(begin * 512, "LUKS\xba\xbe");

  DiskView view(filesystems::shared_ring(), disk);
  const FreeSpace space = find_free_space(view);
  ASSERT_EQ(space.volumes.size(), count);
  EXPECT_EQ(space.volumes.front().file_system.type, "crypto_LUKS");
  EXPECT_EQ(space.volumes.back().file_system.reason, Reason::unknown);
  EXPECT_LT(disk.reads, 300U);
}

}  // namespace
}  // namespace formats
