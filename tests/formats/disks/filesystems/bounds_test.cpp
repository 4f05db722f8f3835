// What the header of each parser states, of volumes that are made to take the most: memory, and
// work as bytes that are read. Of terabytes nothing is there but what the parser looks at.
#include <bit>

#include <gmock/gmock.h>

#include "formats/bytes/big_endian.hpp"
#include "formats/disks/filesystems/btrfs.hpp"
#include "formats/disks/filesystems/btrfs/chunk_map.hpp"
#include "formats/disks/filesystems/btrfs/gaps.hpp"
#include "formats/disks/filesystems/exfat.hpp"
#include "formats/disks/filesystems/f2fs.hpp"
#include "formats/disks/filesystems/f2fs/words.hpp"
#include "formats/disks/filesystems/fat.hpp"
#include "formats/disks/filesystems/ntfs.hpp"
#include "formats/disks/filesystems/xfs.hpp"
#include "formats/disks/free_space.hpp"
#include "io/error.hpp"
#include "tests/formats/disks/filesystems/ntfs_disk.hpp"
#include "tests/formats/disks/filesystems/probe_testing.hpp"
#include "tests/formats/disks/filesystems/sparse_disk.hpp"
#include "tests/support/peak_memory.hpp"

namespace formats::filesystems {
namespace {

using io::MiB;
using testing::HasSubstr;
using Bytes = std::vector<std::byte>;

// Of FreeClusters: 4 Mi ranges, while the shortest are looked for and while they are given away.
constexpr std::uint64_t free_clusters = 136 * MiB;
constexpr std::uint64_t small = 8 * MiB;  // whatever else a parser takes

Bytes filled(std::size_t size, unsigned value) { return {size, static_cast<std::byte>(value)}; }

// Bits of which each 16th is set: as many pieces of free space as make 16 of 256.
Bytes one_in_16_used() {
  Bytes unit(4096);
  for (std::size_t i = 0; i < unit.size(); i += 2) unit[i] = std::byte{1};
  return unit;
}

struct Answer {
  std::optional<FileSystem> found;
  std::uint64_t memory = 0;
};

Answer ask(Prober prober, SparseDisk& disk, MapCheck check = MapCheck::with_files) {
  Answer answer;
  DiskView view(shared_ring(), disk);
  disk.reads = disk.bytes_read = 0;
  const tests::PeakMemory peak;
  answer.found = prober(view, check);
  answer.memory = peak.bytes();
  return answer;
}

// A stop that comes after some reads ends it with the next one.
void expect_stops(Prober prober, SparseDisk& disk, MapCheck check = MapCheck::with_files) {
  constexpr std::uint64_t reads = 12;
  io::StopFlag stop = 0;
  disk.reads = 0;
  disk.on_read = [&] { stop = disk.reads == reads ? 2 : 0; };
  DiskView view(shared_ring(), disk, &stop);
  try {
    (void)prober(view, check);
    ADD_FAILURE() << "went on to its end, with " << disk.reads << " reads";
  } catch (const io::Error& error) {
    EXPECT_EQ(error.kind(), io::ErrorKind::cancelled);
  }
  EXPECT_EQ(disk.reads, reads);
  disk.on_read = nullptr;
}

// --- FAT ---

// A quarter of the clusters that FAT32 can have, which takes a quarter of the 64 MiB; one in 8 is
// in use.
TEST(Bounds, OfFat) {
  constexpr std::uint32_t clusters = 0x0ffffff4 / 4;
  constexpr std::uint64_t table = (std::uint64_t{clusters} + 2 + 127) / 128;  // sectors
  constexpr std::uint64_t sectors = 32 + table + clusters;
  SparseDisk disk(sectors * 512);
  disk.put(0, std::uint8_t{0xeb});
  disk.put(11, std::uint16_t{512});
  disk.put(13, std::uint8_t{1});
  disk.put(14, std::uint16_t{32});
  disk.put(16, std::uint8_t{1});
  disk.put(21, std::uint8_t{0xf8});
  disk.put(32, static_cast<std::uint32_t>(sectors));
  disk.put(36, static_cast<std::uint32_t>(table));
  disk.put(44, std::uint32_t{2});
  disk.put(510, std::uint16_t{0xaa55});
  Bytes unit(512);
  for (std::size_t at = 0; at < unit.size(); at += 32) {
    store_little_endian<std::uint32_t>(unit, at + 8, 0x0fffffff);
  }
  disk.repeat({32 * 512, table * 512}, unit);
  disk.put(32 * 512, std::uint64_t{0x0fffffff0ffffff8});
  disk.put(32 * 512 + 8, std::uint32_t{0x0fffffff});

  const Answer answer = ask(probe_fat, disk);
  EXPECT_EQ(answer.found.value().kept_because, "");
  EXPECT_LE(answer.found->free.size(), std::size_t{4} << 20);
  EXPECT_GE(answer.found->free.size(), std::size_t{2} << 20);
  EXPECT_LE(answer.memory, 16 * MiB + free_clusters + small);
  EXPECT_LE(disk.bytes_read, table * 512 + 2 * MiB);
  expect_stops(probe_fat, disk);
}

// --- exFAT ---

class ExfatDisk {
 public:
  static constexpr std::uint64_t table = 64 * 512;

  // Clusters of 4 KiB. Bitmap and root directory are the first ones.
  explicit ExfatDisk(std::uint32_t clusters)
      : heap_(table + (std::uint64_t{clusters} + 2) * 4 / 4096 * 4096 + 4096),
        disk_(heap_ + std::uint64_t{clusters} * 4096) {
    const std::uint32_t bitmap_bytes = (clusters + 7) / 8;
    const std::uint32_t bitmap_clusters = (bitmap_bytes + 4095) / 4096;
    const std::uint32_t root = 2 + bitmap_clusters;
    disk_.put_text(0,
                   "\xeb\x76\x90"
                   "EXFAT   ");
    disk_.put(72, disk_.size().value() / 512);
    disk_.put(80, static_cast<std::uint32_t>(table / 512));
    disk_.put(84, static_cast<std::uint32_t>((heap_ - table) / 512));
    disk_.put(88, static_cast<std::uint32_t>(heap_ / 512));
    disk_.put(92, clusters);
    disk_.put(96, root);
    disk_.put(104, std::uint16_t{0x100});
    disk_.put(108, std::uint8_t{9});
    disk_.put(109, std::uint8_t{3});
    disk_.put(110, std::uint8_t{1});
    disk_.put(510, std::uint16_t{0xaa55});
    seal();
    // The chain of the bitmap: each cluster is followed by the next.
    for (std::uint32_t cluster = 2; cluster < root; ++cluster) {
      disk_.put(table + std::uint64_t{cluster} * 4, cluster + 1 < root ? cluster + 1 : 0xffffffff);
    }
    disk_.put(table + std::uint64_t{root} * 4, 0xffffffffU);
    const std::uint64_t directory = heap_ + std::uint64_t{bitmap_clusters} * 4096;
    disk_.put(directory, std::uint8_t{0x81});
    disk_.put(directory + 20, std::uint32_t{2});
    disk_.put(directory + 24, std::uint64_t{bitmap_bytes});
    const std::uint64_t own = (bitmap_clusters + 1) / 8 + 1;  // bytes of the bitmap
    disk_.repeat({heap_, bitmap_bytes}, one_in_16_used());
    disk_.repeat({heap_, own}, filled(512, 0xff));
  }
  [[nodiscard]] SparseDisk& disk() { return disk_; }

 private:
  void seal() {
    std::uint32_t sum = 0;
    for (std::uint64_t at = 0; at < 11 * 512; ++at) {
      if (at == 106 || at == 107 || at == 112) continue;
      sum = std::rotr(sum, 1) + std::to_integer<std::uint32_t>(disk_.at(at));
    }
    for (std::uint64_t at = 11 * 512; at < 12 * 512; at += 4) disk_.put(at, sum);
  }
  std::uint64_t heap_;
  SparseDisk disk_;
};

TEST(Bounds, OfExfat) {
  ExfatDisk volume(std::uint32_t{1} << 29);
  const Answer answer = ask(probe_exfat, volume.disk());
  EXPECT_EQ(answer.found.value().kept_because, "");
  EXPECT_LE(answer.found->free.size(), std::size_t{4} << 20);
  EXPECT_GE(answer.found->free.size(), std::size_t{2} << 20);
  EXPECT_LE(answer.memory, 64 * MiB + free_clusters + small);
  EXPECT_LE(volume.disk().bytes_read, 64 * MiB + small);
  expect_stops(probe_exfat, volume.disk());
}

// A bitmap of 512 MiB is not read.
TEST(Bounds, OfExfatWithAsManyClustersAsThereCanBe) {
  ExfatDisk volume(0xfffffff5 - 16);
  const Answer answer = ask(probe_exfat, volume.disk());
  EXPECT_EQ(answer.found.value().reason, Reason::unsupported);
  EXPECT_LE(answer.memory, small);
  EXPECT_LE(volume.disk().bytes_read, MiB);
}

// --- NTFS ---

// 2 Gi clusters, so that $Bitmap has 256 MiB, in use in each 16th place.
TEST(Bounds, OfNtfs) {
  using namespace ntfs;
  constexpr std::uint64_t clusters = std::uint64_t{1} << 31, bitmap = clusters / 8;
  NtfsDisk volume;
  SparseDisk& disk = volume.disk();
  disk.resize((clusters * 8 + 1) * 512);
  disk.put(40, clusters * 8);
  // From cluster 16 on: 65536 clusters.
  volume.put_record(6, record({in_clusters(AttributeType::data, 0, bitmap / 4096,
                                           bytes_of({0x13, 0, 0, 1, 16}), bitmap)}));
  const std::uint64_t at = 16 * NtfsDisk::cluster;
  disk.repeat({at, bitmap}, one_in_16_used());
  disk.repeat({at, 3 * 4096}, filled(4096, 0xff));

  const Answer answer = ask(probe_ntfs, disk);
  EXPECT_EQ(answer.found.value().kept_because, "");
  EXPECT_LE(answer.found->free.size(), std::size_t{4} << 20);
  EXPECT_GE(answer.found->free.size(), std::size_t{2} << 20);
  EXPECT_LE(answer.memory, free_clusters + small);
  EXPECT_LE(disk.bytes_read, bitmap + small);
  expect_stops(probe_ntfs, disk);
}

// --- f2fs ---

// Segments of which each 16th block is in use, by nodes or by data.
class F2fsDisk {
 public:
  static constexpr std::uint64_t block = 4096;

  F2fsDisk(SparseDisk& disk, std::uint64_t at, std::uint32_t segments, bool nodes)
      : disk_(disk), at_(at) {
    constexpr std::uint32_t areas = 512;  // the first segment holds the superblocks
    const std::uint32_t sit_set = (segments / 55 / 512 + 1);
    const std::uint32_t ssa = segments / 512 + 1;
    constexpr std::uint32_t nat_set = 40;
    const std::uint32_t sit = areas + 2 * 512;
    const std::uint32_t nat = sit + 2 * sit_set * 512;
    const std::uint32_t summaries = nat + 2 * nat_set * 512;
    const std::uint32_t main = summaries + ssa * 512;
    const std::uint32_t used = segments * 32;
    blocks_ = main + std::uint64_t{segments} * 512;
    const std::uint32_t payload = sit_set * 64 / 4096 + 1;
    for (const std::uint64_t copy : {std::uint64_t{1024}, block + 1024}) {
      put(copy, f2fs::magic);
      put(copy + 4, std::uint16_t{1});
      const std::uint32_t fields[] = {12, 9, 1, 1};
      for (std::size_t i = 0; i < 4; ++i) put(copy + 16 + 4 * i, fields[i]);
      put(copy + 36, blocks_);
      const std::uint32_t counts[] = {segments, segments + 10000, 2,     2 * sit_set, 2 * nat_set,
                                      ssa,      segments,         areas, areas,       sit,
                                      nat,      summaries,        main,  3,           1,
                                      2};
      for (std::size_t i = 0; i < std::size(counts); ++i) put(copy + 44 + 4 * i, counts[i]);
      put(copy + 1664, payload);
    }
    for (const std::uint32_t pack : {areas, areas + 512}) {
      Bytes first(block);
      store_little_endian<std::uint64_t>(first, 0, pack);
      store_little_endian<std::uint64_t>(first, 8, std::uint64_t{segments} * 512);
      store_little_endian<std::uint64_t>(first, 16, used);
      for (std::uint32_t i = 0; i < 3; ++i) {
        store_little_endian<std::uint32_t>(first, 36 + 4 * i, i);
        store_little_endian<std::uint16_t>(first, 68 + 2 * i, 1);
        store_little_endian<std::uint32_t>(first, 84 + 4 * i, 3 + i);
      }
      store_little_endian<std::uint32_t>(first, 132, 5);  // unmounted, compact summaries
      store_little_endian<std::uint32_t>(first, 136, payload + 6);
      store_little_endian<std::uint32_t>(first, 140, payload + 1);
      store_little_endian<std::uint32_t>(first, 144, nodes ? used : 0);
      store_little_endian<std::uint32_t>(first, 156, sit_set * 64);
      store_little_endian<std::uint32_t>(first, 160, nat_set * 64);
      store_little_endian<std::uint32_t>(first, 164, 4092);
      store_little_endian(first, 4092, f2fs::checksum(f2fs::magic, std::span(first).first(4092)));
      disk_.write(at_ + pack * block, first);
      disk_.write(at_ + (pack + payload + 5) * block, first);
    }
    Bytes table(block);
    for (std::size_t i = 0; i < 55; ++i) {
      store_little_endian<std::uint16_t>(table, 74 * i,
                                         static_cast<std::uint16_t>(nodes ? 3 << 10 | 32 : 32));
      for (std::size_t bit = 0; bit < 64; bit += 2) table[74 * i + 2 + bit] = std::byte{0x80};
    }
    disk_.repeat({at_ + sit * block, sit_set * 512 * block}, table);
    Bytes numbers(block);
    for (std::size_t i = 0; i < 455; ++i) {
      store_little_endian<std::uint32_t>(numbers, 9 * i + 5, main + 1);
    }
    if (nodes) disk_.repeat({at_ + nat * block, 2 * nat_set * 512 * block}, numbers);
    tables_ = (segments / 55 + nat_set * 512) * block;
  }
  [[nodiscard]] std::uint64_t size() const { return blocks_ * block; }
  [[nodiscard]] std::uint64_t table_bytes() const { return tables_; }

 private:
  template <class Number>
  void put(std::uint64_t offset, Number number) {
    disk_.put(at_ + offset, number);
  }
  SparseDisk& disk_;
  std::uint64_t at_;
  std::uint64_t blocks_ = 0;
  std::uint64_t tables_ = 0;
};

TEST(Bounds, OfF2fs) {
  SparseDisk disk(0);
  const F2fsDisk volume(disk, 0, std::uint32_t{1} << 19, false);  // 1 TiB
  disk.resize(volume.size());
  const Answer answer = ask(probe_f2fs, disk, MapCheck::believed);
  EXPECT_EQ(answer.found.value().kept_because, "");
  EXPECT_LE(answer.found->free.size(), std::size_t{4} << 20);
  EXPECT_GE(answer.found->free.size(), std::size_t{2} << 20);
  EXPECT_LE(answer.memory, free_clusters + small);
  EXPECT_LE(disk.bytes_read, volume.table_bytes() + small);
  expect_stops(probe_f2fs, disk, MapCheck::believed);
}

// 16 Mi nodes, which are too many to be asked.
TEST(Bounds, OfF2fsWithMoreNodesThanAreRead) {
  SparseDisk disk(0);
  const F2fsDisk volume(disk, 0, std::uint32_t{1} << 19, true);
  disk.resize(volume.size());
  const Answer answer = ask(probe_f2fs, disk);
  EXPECT_EQ(answer.found.value().reason, Reason::unsupported);
  EXPECT_THAT(answer.found->kept_because, HasSubstr("more nodes"));
  EXPECT_LE(answer.memory, free_clusters + 12 * 12 * MiB + small);
  EXPECT_LE(disk.bytes_read, volume.table_bytes() + small);
  expect_stops(probe_f2fs, disk);
}

// --- XFS and btrfs ---

// What a sample of the fuzz targets holds, on a disk that counts.
SparseDisk disk_of_sample(const std::string& name) {
  auto sample = tests::fixture(name);
  SparseDisk disk(sample.size().value());
  DiskView view(shared_ring(), sample);
  for (const io::ByteRange range : sample.content()) {
    disk.write(range.offset, view.read(range.offset, range.length));
  }
  return disk;
}

template <class Number>
void put_big_endian(SparseDisk& disk, std::uint64_t at, Number value) {
  Bytes bytes(sizeof(Number));
  store_big_endian(bytes, 0, value);
  disk.write(at, bytes);
}

// A superblock that claims 2^28 allocation groups, of which two are there.
TEST(Bounds, OfXfsDoNotGrowWithTheGroupsThatItClaims) {
  constexpr std::uint32_t groups = 1U << 28;
  SparseDisk disk = disk_of_sample("xfs/v4");
  DiskView view(shared_ring(), disk);
  const Bytes super = view.read(0, 512);
  const std::uint64_t blocks = std::uint64_t{groups} * load_big_endian<std::uint32_t>(super, 84);
  put_big_endian(disk, 8, blocks);
  put_big_endian(disk, 88, groups);
  disk.resize(blocks * load_big_endian<std::uint32_t>(super, 4));
  const Answer answer = ask(probe_xfs, disk);
  EXPECT_EQ(answer.found.value().reason, Reason::damaged);
  EXPECT_THAT(answer.found->kept_because, HasSubstr("group 2"));
  EXPECT_LE(answer.memory, small);
  EXPECT_LE(disk.bytes_read, 16 * MiB) << "its log is read";
}

std::uint64_t content_of(const std::string& name) {
  return tests::length_of(tests::fixture(name).content());
}

// Each block of the trees is read by the walk of the extents and by the one of the files.
TEST(Bounds, OfXfsAndBtrfsReadsAreThoseOfTheirTrees) {
  SparseDisk xfs = disk_of_sample("xfs/two_levels");
  EXPECT_EQ(ask(probe_xfs, xfs).found.value().kept_because, "");
  EXPECT_LE(xfs.bytes_read, 3 * content_of("xfs/two_levels") + 16 * MiB);
  expect_stops(probe_xfs, xfs);

  SparseDisk btrfs = disk_of_sample("btrfs/two_levels");
  EXPECT_EQ(ask(probe_btrfs, btrfs).found.value().kept_because, "");
  EXPECT_LE(btrfs.bytes_read, 3 * content_of("btrfs/two_levels"));
  expect_stops(probe_btrfs, btrfs);
}

// 4 Mi extents with a gap behind each.
TEST(Bounds, OfBtrfs) {
  using namespace btrfs;
  constexpr std::uint64_t begin = MiB, count = std::uint64_t{4} << 20;
  constexpr std::uint64_t length = count * 8192;
  const ChunkMap chunks(
      {{.address = begin, .length = length, .type = 1, .copies = 1, .places = {begin, 0}}});
  const tests::PeakMemory peak;
  Gaps gaps(chunks, 4096);
  for (std::uint64_t i = 0; i < count; ++i) gaps.add_extent(begin + i * 8192, 4096);
  gaps.add_group(begin, length, 1, count * 4096);
  gaps.finish();
  const auto free = std::move(gaps).take();
  EXPECT_LE(free.size(), std::size_t{1} << 20);
  EXPECT_GE(free.size(), std::size_t{1} << 19);
  EXPECT_LE(peak.bytes(), free_clusters / 4 + small);
}

// --- a disk of many volumes ---

// Three f2fs with 4 Mi pieces each, of which a disk may have 8 Mi.
TEST(Bounds, OfTheFreeSpaceOfADisk) {
  constexpr std::uint64_t first = MiB;
  constexpr std::uint32_t segments = std::uint32_t{1} << 17;
  SparseDisk disk(0);
  std::uint64_t at = first;
  for (unsigned slot = 0; slot < 3; ++slot) {
    const F2fsDisk volume(disk, at, segments, false);
    disk.put<std::uint8_t>(446 + 16 * slot + 4, 0x83);
    disk.put(446 + 16 * slot + 8, static_cast<std::uint32_t>(at / 512));
    disk.put(446 + 16 * slot + 12, static_cast<std::uint32_t>(volume.size() / 512));
    at += volume.size();
  }
  disk.put<std::uint16_t>(510, 0xaa55);
  disk.resize(at);
  DiskView view(shared_ring(), disk);
  FreeSpaceOptions options;
  options.trust_maps = true;
  const tests::PeakMemory peak;
  const FreeSpace space = find_free_space(view, options);
  const std::uint64_t memory = peak.bytes();
  ASSERT_EQ(space.volumes.size(), 3U);
  EXPECT_EQ(space.volumes[1].file_system.kept_because, "");
  EXPECT_THAT(space.volumes[2].file_system.kept_because, HasSubstr("too many pieces"));
  EXPECT_GT(space.free.size(), std::size_t{6} << 20);
  EXPECT_LE(space.free.size(), std::size_t{8} << 20);
  // All free ranges three times, the last while it grows, and one parser.
  EXPECT_LE(memory, 384 * MiB + 64 * MiB + free_clusters + small);
}

}  // namespace
}  // namespace formats::filesystems
