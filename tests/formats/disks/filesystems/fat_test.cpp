#include "formats/disks/filesystems/fat.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/disks/filesystems/fat/boot_sector.hpp"
#include "formats/disks/filesystems/fat/table.hpp"
#include "tests/formats/disks/filesystems/sparse_disk.hpp"

namespace formats::filesystems::fat {
namespace {

using testing::HasSubstr;

// One sector a cluster, one table; the root directory has 16 entries (one sector) but for FAT32,
// where it is cluster 2.
SparseDisk disk_of(std::uint64_t clusters, Width width) {
  const bool fat32 = width == Width::fat32;
  const std::uint64_t bits = (clusters + 2) * static_cast<std::uint64_t>(width);
  const std::uint64_t table = (bits + 4095) / 4096;
  const std::uint64_t sectors = 1 + table + (fat32 ? 0 : 1) + clusters;
  SparseDisk disk(sectors * 512);
  disk.put(0, std::uint8_t{0xeb});
  disk.put(11, std::uint16_t{512});
  disk.put(13, std::uint8_t{1});
  disk.put(14, std::uint16_t{1});
  disk.put(16, std::uint8_t{1});
  disk.put(17, static_cast<std::uint16_t>(fat32 ? 0 : 16));
  disk.put(21, std::uint8_t{0xf8});
  disk.put(22, static_cast<std::uint16_t>(fat32 ? 0 : table));
  disk.put(32, static_cast<std::uint32_t>(sectors));
  if (fat32) {
    disk.put(36, static_cast<std::uint32_t>(table));
    disk.put(44, std::uint32_t{2});
  }
  disk.put(510, std::uint16_t{0xaa55});
  const std::uint64_t head = width == Width::fat12   ? 0xfffff8
                             : width == Width::fat16 ? 0xfffffff8
                                                     : 0x0fffffff0ffffff8;
  disk.put(512, head);
  if (fat32) disk.put(512 + 8, std::uint32_t{0x0fffffff});
  return disk;
}

FileSystem probed(SparseDisk& disk) {
  DiskView view(shared_ring(), disk);
  auto found = probe_fat(view);
  EXPECT_TRUE(found.has_value());
  return found.value_or(FileSystem{});
}

std::optional<BootSector> parsed(SparseDisk& disk) {
  DiskView view(shared_ring(), disk);
  return parse_boot_sector(view.read(0, boot_sector_bytes));
}

TEST(FatBootSector, TheNumberOfClustersDecidesTheWidth) {
  SparseDisk twelve = disk_of(4084, Width::fat12);
  EXPECT_EQ(parsed(twelve)->width, Width::fat12);
  SparseDisk sixteen = disk_of(4085, Width::fat16);
  EXPECT_EQ(parsed(sixteen)->width, Width::fat16);
  SparseDisk few = disk_of(100, Width::fat32);
  EXPECT_EQ(parsed(few)->width, Width::fat32);
  SparseDisk many = disk_of(65526, Width::fat16);
  EXPECT_FALSE(parsed(many).has_value());
}

TEST(FatBootSector, ATableThatIsTooShortIsNone) {
  SparseDisk disk = disk_of(4085, Width::fat16);
  disk.put(22, std::uint16_t{15});
  EXPECT_FALSE(parsed(disk).has_value());
}

TEST(FatBootSector, NonsenseIsNone) {
  const std::pair<std::uint64_t, std::uint16_t> changes[] = {
      {11, 0}, {11, 513}, {11, 256}, {11, 8192},   {13, 0x100}, {13, 0x103},  {14, 0},
      {16, 0}, {16, 9},   {17, 0},   {20, 0x0100}, {22, 0},     {22, 0xffff}, {510, 0},
  };
  for (const auto& [at, value] : changes) {
    SparseDisk disk = disk_of(200, Width::fat12);
    ASSERT_TRUE(parsed(disk).has_value());
    disk.put(at, value);
    EXPECT_FALSE(parsed(disk).has_value()) << at << " " << value;
  }
}

TEST(FatTable, EntriesOf12BitsShareABytePairwise) {
  SparseDisk disk = disk_of(200, Width::fat12);
  disk.put(512 + 3, std::uint32_t{0x004003});
  DiskView view(shared_ring(), disk);
  const auto boot = parse_boot_sector(view.read(0, boot_sector_bytes));
  Table table(view, *boot, 0);
  EXPECT_EQ(table.at(2).value, 3u);
  EXPECT_EQ(table.at(3).value, 4u);
  EXPECT_EQ(table.at(201).value, 0u);
  std::vector<std::uint32_t> values;
  table.read(0, table.size(), values);
  EXPECT_EQ(values.size(), 202u);
  EXPECT_EQ(values[2], 3u);
  EXPECT_EQ(values[3], 4u);
}

TEST(FatTable, TheUpper4BitsOfFat32SayNothing) {
  SparseDisk disk = disk_of(200, Width::fat32);
  disk.put(512 + 4 * 50, std::uint32_t{0xf0000000});
  const FileSystem found = probed(disk);
  EXPECT_EQ(found.kept_because, "");
  const std::vector<io::ByteRange> expected{{3 * 512 + 512, 199 * 512}};  // all but the root
  EXPECT_EQ(found.free, expected);
}

// --- directories ---

void put_entry(SparseDisk& disk, std::uint64_t at, std::uint8_t attributes, std::uint16_t cluster,
               std::uint32_t size) {
  disk.put_text(at, "NAME    BIN");
  disk.put(at + 11, attributes);
  disk.put(at + 26, cluster);
  disk.put(at + 28, size);
}

constexpr std::uint64_t root = 512 * 2;  // of disk_of(200, fat12)
constexpr std::uint64_t clusters_at = 512 * 3;

TEST(FatDirectories, AFileInAFreeClusterIsADoubt) {
  SparseDisk disk = disk_of(200, Width::fat12);
  put_entry(disk, root, 0x20, 2, 100);
  EXPECT_THAT(probed(disk).kept_because, HasSubstr("calls free"));
  disk.put(512 + 3, std::uint16_t{0xfff});
  EXPECT_EQ(probed(disk).kept_because, "");
}

TEST(FatDirectories, BelowOthersAreReadToo) {
  SparseDisk disk = disk_of(200, Width::fat12);
  disk.put(512 + 3, std::uint32_t{0xffffff});  // clusters 2 and 3
  put_entry(disk, root, 0x10, 2, 0);
  put_entry(disk, clusters_at, 0x10, 3, 0);
  put_entry(disk, clusters_at + 512, 0x20, 4, 1);
  EXPECT_THAT(probed(disk).kept_because, HasSubstr("calls free"));
}

TEST(FatDirectories, ThatHoldThemselvesAreADoubt) {
  SparseDisk disk = disk_of(200, Width::fat12);
  disk.put(512 + 3, std::uint16_t{0xfff});
  put_entry(disk, root, 0x10, 2, 0);
  put_entry(disk, clusters_at, 0x10, 2, 0);
  EXPECT_THAT(probed(disk).kept_because, HasSubstr("two files"));
}

TEST(FatDirectories, AChainThatIsALoopIsADoubt) {
  SparseDisk disk = disk_of(200, Width::fat12);
  disk.put(512 + 3, std::uint32_t{0x002003});  // 2 to 3, 3 to 2
  put_entry(disk, root, 0x10, 2, 0);
  EXPECT_THAT(probed(disk).kept_because, HasSubstr("two files"));
}

TEST(FatDirectories, ClustersThatDoNotExistAreADoubt) {
  for (const unsigned cluster : {1u, 202u, 0xffffu}) {
    SparseDisk disk = disk_of(200, Width::fat12);
    put_entry(disk, root, 0x20, static_cast<std::uint16_t>(cluster), 1);
    EXPECT_THAT(probed(disk).kept_because, HasSubstr("does not exist"));
  }
}

TEST(FatDirectories, DeletedEntriesAndThoseBehindTheEndSayNothing) {
  SparseDisk disk = disk_of(200, Width::fat12);
  put_entry(disk, root, 0x20, 5, 1);
  disk.put(root, std::uint8_t{0xe5});
  put_entry(disk, root + 64, 0x20, 6, 1);
  EXPECT_EQ(probed(disk).kept_because, "");
}

}  // namespace
}  // namespace formats::filesystems::fat
