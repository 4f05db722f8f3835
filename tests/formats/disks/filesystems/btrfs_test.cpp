#include "formats/disks/filesystems/btrfs.hpp"

#include <gmock/gmock.h>

#include "formats/disks/filesystems/btrfs/chunk_map.hpp"
#include "formats/disks/filesystems/btrfs/gaps.hpp"
#include "formats/disks/filesystems/doubt.hpp"
#include "tests/formats/disks/filesystems/probe_testing.hpp"

namespace {

using formats::filesystems::Doubt;
using formats::filesystems::probe_btrfs;
using formats::filesystems::btrfs::Chunk;
using formats::filesystems::btrfs::ChunkMap;
using formats::filesystems::btrfs::Gaps;
using io::ByteRange;
using io::KiB;
using io::MiB;
using testing::ElementsAre;
using testing::IsEmpty;

class BtrfsFixture : public testing::TestWithParam<const char*> {
 protected:
  tests::OverlayDisk disk_ = tests::fixture(std::string("btrfs/") + GetParam());
};

TEST_P(BtrfsFixture, IsMapped) {
  const auto found = probe(probe_btrfs, disk_);
  EXPECT_EQ(found.kept_because, "");
  EXPECT_EQ(found.type, "btrfs");
  EXPECT_EQ(found.uuid, "11111111-2222-3333-4444-555555555555");
  EXPECT_EQ(found.size, 128 * MiB);
  EXPECT_GT(tests::length_of(found.free), 100 * MiB);
  EXPECT_LT(tests::length_of(found.free), 127 * MiB);
  EXPECT_THAT(found.witnesses, ElementsAre(ByteRange{64 * KiB, 4096}));
}

TEST_P(BtrfsFixture, KeepsWhatIsReserved) {
  const auto found = probe(probe_btrfs, disk_);
  for (const ByteRange reserved : {ByteRange{0, MiB}, ByteRange{64 * MiB, 64 * KiB}}) {
    for (const ByteRange range : found.free) {
      EXPECT_TRUE(io::intersection(range, reserved).empty());
    }
  }
}

TEST_P(BtrfsFixture, NeverCallsMoreFreeWhenABitFlips) {
  EXPECT_THAT(wrong_after_flips(probe_btrfs, disk_, 211), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Kinds, BtrfsFixture,
                         testing::Values("single", "dup", "mixed", "two_levels"),
                         [](const auto& kind) { return kind.param; });

// --- chunks ---

Chunk single(std::uint64_t address, std::uint64_t length, std::uint64_t place) {
  return {.address = address, .length = length, .type = 1, .copies = 1, .places = {place, 0}};
}

TEST(BtrfsChunkMap, FindsWhatLiesInOneChunk) {
  const ChunkMap map({single(8 * MiB, MiB, 2 * MiB), single(2 * MiB, 2 * MiB, 4 * MiB)});
  EXPECT_EQ(map.find(2 * MiB - 1, 1), nullptr);
  ASSERT_NE(map.find(2 * MiB, 2 * MiB), nullptr);
  EXPECT_EQ(map.find(2 * MiB, 2 * MiB)->places[0], 4 * MiB);
  EXPECT_EQ(map.find(3 * MiB, 2 * MiB), nullptr) << "reaches beyond its end";
  EXPECT_EQ(map.find(4 * MiB, 1), nullptr);
  EXPECT_EQ(map.find(9 * MiB - 1, ~std::uint64_t{0}), nullptr);
  EXPECT_THAT(map.on_device(), ElementsAre(ByteRange{2 * MiB, MiB}, ByteRange{4 * MiB, 2 * MiB}));
}

TEST(BtrfsChunkMap, RefusesChunksOverEachOther) {
  EXPECT_THROW(ChunkMap({single(0, 2 * MiB, 0), single(MiB, MiB, 8 * MiB)}), Doubt);
  EXPECT_THROW(ChunkMap({single(0, 2 * MiB, 0), single(4 * MiB, MiB, MiB)}), Doubt);
  const Chunk twice{.address = 0, .length = MiB, .type = 0x22, .copies = 2, .places = {0, 0}};
  EXPECT_THROW(ChunkMap({twice}), Doubt);
}

// --- gaps ---

class BtrfsGaps : public testing::Test {
 protected:
  ChunkMap chunks_{{single(MiB, MiB, 0), single(2 * MiB, MiB, 4 * MiB), single(8 * MiB, MiB, MiB)}};
  Gaps gaps_{chunks_, 4096};
};

TEST_F(BtrfsGaps, AreWhatExtentsLeaveOver) {
  gaps_.add_extent(MiB + 64 * KiB, 64 * KiB);
  gaps_.add_extent(8 * MiB, 512 * KiB);
  gaps_.add_group(8 * MiB, MiB, 1, 512 * KiB);
  gaps_.add_group(MiB, MiB, 1, 64 * KiB);
  gaps_.add_group(2 * MiB, MiB, 1, 0);
  gaps_.finish();
  EXPECT_EQ(gaps_.used(), 576 * KiB);
  EXPECT_TRUE(gaps_.have_any_of(MiB, 4096));
  EXPECT_FALSE(gaps_.have_any_of(MiB + 64 * KiB, 64 * KiB));
  EXPECT_THAT(std::move(gaps_).take(),
              ElementsAre(ByteRange{MiB, 64 * KiB}, ByteRange{MiB + 128 * KiB, 1920 * KiB},
                          ByteRange{8 * MiB + 512 * KiB, 512 * KiB}));
}

TEST_F(BtrfsGaps, RefuseExtentsThatOverlap) {
  gaps_.add_extent(MiB, 8192);
  EXPECT_THROW(gaps_.add_extent(MiB + 4096, 4096), Doubt);
}

TEST_F(BtrfsGaps, RefuseExtentsOutsideOfChunks) {
  EXPECT_THROW(Gaps(chunks_, 4096).add_extent(0, 4096), Doubt);
  EXPECT_THROW(Gaps(chunks_, 4096).add_extent(3 * MiB, 4096), Doubt);
  EXPECT_THROW(Gaps(chunks_, 4096).add_extent(9 * MiB, 4096), Doubt);
  EXPECT_THROW(Gaps(chunks_, 4096).add_extent(2 * MiB - 4096, 8192), Doubt) << "in two";
  EXPECT_THROW(Gaps(chunks_, 4096).add_extent(MiB + 512, 4096), Doubt);
  EXPECT_THROW(Gaps(chunks_, 4096).add_extent(MiB, 0), Doubt);
}

TEST_F(BtrfsGaps, RefuseCountsThatDoNotFit) {
  gaps_.add_extent(MiB, 4096);
  gaps_.add_group(MiB, MiB, 1, 4096);
  gaps_.add_group(2 * MiB, MiB, 1, 0);
  EXPECT_THROW(gaps_.add_group(2 * MiB, MiB, 1, 0), Doubt) << "twice";
  EXPECT_THROW(gaps_.add_group(8 * MiB, 2 * MiB, 1, 0), Doubt) << "of another length";
  EXPECT_THROW(gaps_.add_group(8 * MiB, MiB, 2, 0), Doubt) << "of another type";
  EXPECT_THROW(Gaps(gaps_).finish(), Doubt) << "one is missing";
  gaps_.add_group(8 * MiB, MiB, 1, 4096);
  EXPECT_THROW(gaps_.finish(), Doubt) << "one counts too much";
}

}  // namespace
