#include "formats/disks/filesystems/f2fs.hpp"

#include <gmock/gmock.h>

#include "formats/disks/filesystems/f2fs/superblock.hpp"
#include "formats/disks/filesystems/f2fs/words.hpp"
#include "tests/formats/disks/filesystems/probe_testing.hpp"

namespace {

using formats::filesystems::FileSystem;
using formats::filesystems::MapCheck;
using formats::filesystems::probe_f2fs;
using formats::filesystems::Reason;
using io::MiB;
using testing::HasSubstr;
using testing::IsEmpty;

namespace f2fs = formats::filesystems::f2fs;

constexpr std::size_t block = f2fs::block_size;
using Block = std::vector<std::byte>;

// What stands on the disk, and how it is changed together with its checksum.
class Volume {
 public:
  explicit Volume(const std::string& name) : disk_(tests::fixture("f2fs/" + name)) {}

  // As it looks when the disk ends after `size` bytes.
  [[nodiscard]] FileSystem found(MapCheck check = MapCheck::with_files,
                                 std::uint64_t size = ~0ULL) {
    const io::ByteRange all{0, std::min(size, disk_.size().value())};
    formats::DiskView view = formats::DiskView(ring(), disk_).part(all);
    return probe_f2fs(view, check).value();
  }
  [[nodiscard]] tests::OverlayDisk& disk() { return disk_; }
  [[nodiscard]] Block read(std::uint64_t offset, std::size_t length = block) {
    return formats::DiskView(ring(), disk_).read(offset, length);
  }
  template <typename Number>
  void put(std::uint64_t offset, Number number) {
    disk_.write(offset, formats::little_endian_bytes(number));
  }
  [[nodiscard]] std::uint32_t super(std::size_t field) {
    return f2fs::u32(read(1024 + field, 4), 0);
  }
  template <typename Number>
  void put_super(std::size_t field, Number number) {
    for (const std::uint64_t copy : {std::size_t{0}, block}) {
      put(copy + 1024 + field, number);
      const Block bytes = read(copy + 1024, 3072);
      put(copy + 1024 + 3068, f2fs::checksum(f2fs::magic, std::span(bytes).first(3068)));
    }
  }

  // Where the pack begins that counts.
  [[nodiscard]] std::uint64_t pack() {
    const std::uint64_t first = std::uint64_t{super(76)} * block;
    const std::uint64_t second = first + 512 * block;
    return f2fs::u64(read(second), 0) > f2fs::u64(read(first), 0) ? second : first;
  }
  [[nodiscard]] std::uint32_t checkpoint(std::size_t field) {
    return f2fs::u32(read(pack() + field, 4), 0);
  }
  // In both blocks of the pack that have it.
  template <typename Number>
  void put_checkpoint(std::size_t field, Number number) {
    const std::uint64_t begin = pack();
    const std::uint64_t end = begin + (checkpoint(136) - 1) * block;
    for (const std::uint64_t place : {begin, end}) {
      put(place + field, number);
      const Block bytes = read(place);
      const std::size_t at = f2fs::u32(bytes, 164);
      std::uint32_t sum = f2fs::checksum(f2fs::magic, std::span(bytes).first(at));
      if (at < block - 4) sum = f2fs::checksum(sum, std::span(bytes).subspan(at + 4));
      put(place + at, sum);
    }
  }
  // The address of a node, which is not in the journal.
  [[nodiscard]] std::uint64_t node(std::uint32_t number) {
    return std::uint64_t{f2fs::u32(read(nat_entry(number), 9), 5)} * block;
  }
  [[nodiscard]] std::uint64_t nat_entry(std::uint32_t number) {
    const Block bits = read(pack() + 192 + checkpoint(156), 1);
    const std::uint64_t set = f2fs::bit_at(bits, 0) ? 512 : 0;
    return (super(84) + set) * block + std::uint64_t{number} * 9;
  }

 private:
  static io::Ring& ring() {
    static const io::MadeRing made = io::make_ring({.engine = io::Engine::threads});
    return *made.ring;
  }
  tests::OverlayDisk disk_;
};

class F2fsFixture : public testing::TestWithParam<const char*> {
 protected:
  Volume volume_{GetParam()};
};

TEST_P(F2fsFixture, IsMapped) {
  const auto found = volume_.found();
  EXPECT_EQ(found.kept_because, "");
  EXPECT_EQ(found.type, "f2fs");
  EXPECT_EQ(found.uuid, "11111111-2222-3333-4444-555555555555");
  EXPECT_EQ(found.block_size, 4096U);
  EXPECT_EQ(found.size, volume_.disk().size());
  EXPECT_GT(tests::length_of(found.free), 30 * MiB);
  EXPECT_LT(tests::length_of(found.free), found.size - 12 * MiB);
  EXPECT_EQ(found.witnesses.size(), 4U);
  EXPECT_FALSE(found.map_is_believed);
}

TEST_P(F2fsFixture, HasFreeWhatTheCheckpointCounts) {
  const auto found = volume_.found();
  const std::uint64_t main = std::uint64_t{volume_.super(92)} * block;
  const std::uint64_t end = main + std::uint64_t{volume_.super(68)} * 512 * block;
  for (const io::ByteRange range : found.free) {
    EXPECT_GE(range.offset, main);
    EXPECT_LE(range.end(), end);
  }
  // One block is a witness. Blocks that were set aside are counted, and lie nowhere.
  const std::uint64_t used = std::uint64_t{volume_.checkpoint(16)} * block;
  EXPECT_GE(tests::length_of(found.free) + block, end - main - used);
  EXPECT_LE(tests::length_of(found.free) + block, end - main - used + 2 * MiB);
}

TEST_P(F2fsFixture, IsBelievedWithoutALookAtFiles) {
  const auto found = volume_.found(MapCheck::believed);
  EXPECT_TRUE(found.map_is_believed);
  EXPECT_EQ(found.free, volume_.found().free);
}

TEST_P(F2fsFixture, NeverCallsMoreFreeWhenABitFlips) {
  EXPECT_THAT(wrong_after_flips(probe_f2fs, volume_.disk(), 97), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Kinds, F2fsFixture,
                         testing::Values("plain", "extra", "large_nat", "kernel", "compressed"),
                         [](const auto& kind) { return kind.param; });

// --- what keeps all of it ---

class F2fs : public testing::Test {
 protected:
  void expect_kept(Reason reason, const std::string& words) {
    const auto found = volume_.found();
    EXPECT_EQ(found.reason, reason) << found.kept_because;
    EXPECT_THAT(found.kept_because, HasSubstr(words));
    EXPECT_THAT(found.free, IsEmpty());
  }
  Volume volume_{"extra"};
};

TEST_F(F2fs, WithFilesThatWereSyncedAfterTheUnmount) {
  volume_ = Volume("synced");
  EXPECT_EQ(volume_.checkpoint(132) & 1U, 1U) << "its checkpoint says that it was unmounted";
  expect_kept(Reason::needs_replay, "synced");
}

TEST_F(F2fs, ByItsFlags) {
  const std::uint32_t flags = volume_.checkpoint(132);
  volume_.put_checkpoint(132, flags & ~1U);
  expect_kept(Reason::needs_replay, "not unmounted");
  for (const auto& [flag, reason, words] : {std::tuple{0x8U, Reason::damaged, "damaged"},
                                            {0x10U, Reason::damaged, "damaged"},
                                            {0x800U, Reason::damaged, "quotas"},
                                            {0x1000U, Reason::in_use, "switched off"},
                                            {0x2000U, Reason::in_use, "switched off"},
                                            {0x4000U, Reason::damaged, "resized"},
                                            {0x8000U, Reason::unsupported, "0x8000"}}) {
    volume_.put_checkpoint(132, flags | flag);
    expect_kept(reason, words);
  }
  volume_.put_checkpoint(132, flags | 0x2U);  // orphans: their blocks are in use
  EXPECT_EQ(volume_.found().kept_because, "");
}

TEST_F(F2fs, ByItsFeatures) {
  const std::uint32_t features = volume_.super(2180);
  volume_.put_super(2180, features | 0x2U);
  expect_kept(Reason::unsupported, "zones");
  volume_.put_super(2180, features | 0x8000U);
  expect_kept(Reason::unsupported, "0x8000");
  volume_.put_super(2180, features);
  EXPECT_EQ(volume_.found().kept_because, "");
  volume_.put_super(2201, std::uint8_t{'/'});
  expect_kept(Reason::unsupported, "several devices");
  volume_.put_super(2201, std::uint8_t{0});
  volume_.put_super(16, 14U);
  expect_kept(Reason::unsupported, "16 KiB");
}

TEST_F(F2fs, WithAWrongChecksumOfTheSuperblock) {
  volume_.put(1024 + 2000, std::uint8_t{7});
  expect_kept(Reason::damaged, "checksum");
}

TEST_F(F2fs, WithCopiesOfTheSuperblockThatDiffer) {
  volume_ = Volume("plain");
  EXPECT_EQ(volume_.found().kept_because, "");
  volume_.put(block + 1024 + 108, std::uint8_t{7});
  expect_kept(Reason::damaged, "copies differ");
}

TEST_F(F2fs, CutOff) {
  const auto found = volume_.found(MapCheck::with_files, volume_.disk().size().value() - block);
  EXPECT_EQ(found.reason, Reason::cut_off);
  EXPECT_THAT(found.free, IsEmpty());
}

TEST_F(F2fs, WhereAPackOfTheCheckpointIsTorn) {
  const std::uint64_t first = std::uint64_t{volume_.super(76)} * block;
  for (const std::uint64_t pack : {first, first + 512 * block}) {
    volume_ = Volume("extra");
    const std::uint64_t length = f2fs::u32(volume_.read(pack), 136);
    volume_.disk().write(pack + (length - 1) * block, Block(block));
    expect_kept(Reason::damaged, "checkpoint");
  }
}

TEST_F(F2fs, ByCountsThatDoNotFit) {
  for (const std::size_t field : {16U, 32U, 144U}) {
    volume_ = Volume("extra");
    volume_.put_checkpoint(field, volume_.checkpoint(field) - 1);
    expect_kept(Reason::damaged, "counted");
  }
}

// --- files and maps that contradict each other ---

constexpr std::uint32_t root = 3;
constexpr std::size_t mode_at = 0, generation_at = 68, attributes_at = 76, checksum_at = 368;

// Of the first inode behind the root that is a file with a map.
std::uint32_t file_with_map(Volume& volume) {
  for (std::uint32_t number = root + 1; number < 40; ++number) {
    if (volume.node(number) == 0) continue;
    const Block inode = volume.read(volume.node(number));
    if ((f2fs::u16(inode, mode_at) & 0xF000) == 0x8000 && (f2fs::u8(inode, 3) & 6) == 0) {
      return number;
    }
  }
  return 0;
}

void put_in_inode(Volume& volume, std::uint32_t number, std::size_t at, std::uint32_t value) {
  const std::uint64_t place = volume.node(number);
  volume.put(place + at, value);
  volume.put(place + checksum_at, std::uint32_t{0});
  const Block uuid = volume.read(1024 + 108, 16);
  const Block inode = volume.read(place);
  std::uint32_t sum = f2fs::checksum(~std::uint32_t{0}, uuid);
  sum = f2fs::checksum(sum, std::span(inode).subspan(4076, 4));
  sum = f2fs::checksum(sum, std::span(inode).subspan(generation_at, 4));
  volume.put(place + checksum_at, f2fs::checksum(sum, inode));
}

class F2fsFiles : public F2fs {
 protected:
  void SetUp() override {
    ASSERT_EQ(volume_.checkpoint(164), 4092U) << "the bitmap of NAT is where node() looks";
    file_ = file_with_map(volume_);
    ASSERT_NE(file_, 0U);
    extra_ = f2fs::u16(volume_.read(volume_.node(file_)), 360);
    put_in_inode(volume_, file_, attributes_at, 0);
    ASSERT_EQ(volume_.found().kept_because, "");
  }
  [[nodiscard]] std::size_t first_address() const { return 360 + extra_; }

  std::uint32_t file_ = 0;
  std::size_t extra_ = 0;
};

TEST_F(F2fsFiles, KeepAllWhenAFileLiesInAFreeBlock) {
  const auto found = volume_.found();
  const auto free = static_cast<std::uint32_t>(found.free.back().offset / block);
  put_in_inode(volume_, file_, first_address(), free);
  expect_kept(Reason::damaged, "calls free");
  EXPECT_EQ(volume_.found(MapCheck::believed).free, found.free);
}

TEST_F(F2fsFiles, KeepAllWhenAFileLeadsOutOfTheMainArea) {
  for (const std::uint32_t address : {1U, volume_.super(92) - 1, 0xFFFFFFFDU}) {
    put_in_inode(volume_, file_, first_address(), address);
    expect_kept(Reason::damaged, "main area");
  }
}

TEST_F(F2fsFiles, KeepAllWhenABlockIsNoFiles) {
  put_in_inode(volume_, file_, first_address(), 0);
  expect_kept(Reason::damaged, "other blocks");
  put_in_inode(volume_, file_, first_address(), 0xFFFFFFFF);  // set aside
  expect_kept(Reason::damaged, "other blocks");
}

TEST_F(F2fsFiles, KeepAllWhenANodeIsMissing) {
  put_in_inode(volume_, file_, 4052, 100000);
  expect_kept(Reason::damaged, "missing");
  put_in_inode(volume_, file_, 4052, file_);
  expect_kept(Reason::damaged, "");
  put_in_inode(volume_, file_, 4052, root);
  expect_kept(Reason::damaged, "");
}

TEST_F(F2fsFiles, KeepAllWhenAnInodeIsDamaged) {
  volume_.put(volume_.node(file_) + 700, std::uint8_t{1});
  expect_kept(Reason::damaged, "checksum");
}

TEST_F(F2fsFiles, KeepAllWhenNatPointsIntoFreeSpace) {
  const auto found = volume_.found();
  volume_.put(volume_.nat_entry(file_) + 5,
              static_cast<std::uint32_t>(found.free.back().offset / block));
  expect_kept(Reason::damaged, "calls free");
}

TEST_F(F2fsFiles, KeepAllWhenTheirInodeIsAnotherOnes) {
  volume_.put(volume_.nat_entry(file_) + 5, volume_.super(92));
  EXPECT_TRUE(volume_.found().kept_whole());
  const Block entry = volume_.read(volume_.nat_entry(root), 9);
  volume_.disk().write(volume_.nat_entry(file_), entry);
  expect_kept(Reason::damaged, "");
}

}  // namespace
