#include "formats/disks/lvm/thin_pool.hpp"

#include <fstream>
#include <iterator>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/disks/filesystems/doubt.hpp"
#include "formats/disks/lvm/config.hpp"
#include "formats/disks/lvm/thin_segments.hpp"
#include "tests/formats/disks/filesystems/sparse_disk.hpp"
#include "tests/fuzz/file_system_fuzz.hpp"

namespace formats::filesystems {
namespace {

using testing::ElementsAre;

constexpr std::uint64_t chunk = 65536;

std::vector<io::ByteRange> places(const std::vector<VolumePiece>& pieces) {
  std::vector<io::ByteRange> ranges;
  ranges.reserve(pieces.size());
  for (const VolumePiece& piece : pieces) ranges.push_back(piece.range);
  return ranges;
}

// Two runs that touch, one of them shared, a gap, and one more.
ThinMap three_runs() {
  return ThinMap({{0, 10 * chunk, (2 * chunk) | 1U},
                  {2 * chunk, 4 * chunk, chunk},
                  {5 * chunk, 0, chunk | 1U}});
}

TEST(ThinMap, FindsTheRunsOfARange) {
  const ThinMap map = three_runs();
  EXPECT_EQ(map.size(), 4 * chunk);
  EXPECT_THAT(places(map.pieces_of({chunk, 5 * chunk}, false)),
              ElementsAre(io::ByteRange{11 * chunk, chunk}, io::ByteRange{4 * chunk, chunk},
                          io::ByteRange{0, chunk}));
  EXPECT_THAT(places(map.pieces_of({chunk, 5 * chunk}, true)),
              ElementsAre(io::ByteRange{11 * chunk, chunk}, io::ByteRange{0, chunk}));
  EXPECT_THAT(places(map.pieces_of({512, 1024}, true)),
              ElementsAre(io::ByteRange{10 * chunk + 512, 1024}));
  EXPECT_TRUE(map.pieces_of({3 * chunk, 2 * chunk}, false).empty());
  EXPECT_TRUE(map.pieces_of({6 * chunk, chunk}, false).empty());
}

TEST(ThinSource, WhatNoRunCoversReadsAsZeros) {
  SparseDisk data(12 * chunk);
  for (std::uint64_t at = 0; at < 12 * chunk; at += 512) {
    data.put<std::uint64_t>(at, at + 1);
  }
  const ThinMap map = three_runs();
  ThinSource source(data, map, 8 * chunk);
  EXPECT_EQ(source.extent_at(3 * chunk + 512).kind, io::ExtentKind::hole);
  EXPECT_EQ(source.extent_at(3 * chunk + 512).range.end(), 5 * chunk);
  EXPECT_EQ(source.extent_at(7 * chunk).range.end(), 8 * chunk);
  EXPECT_EQ(source.extent_at(chunk).kind, io::ExtentKind::data);
  DiskView view(shared_ring(), source);
  const auto content = view.read(chunk, 7 * chunk);
  const auto first_word = [&](std::uint64_t at) {
    return load_little_endian<std::uint64_t>(content, at - chunk);
  };
  EXPECT_EQ(first_word(chunk), 11 * chunk + 1);
  EXPECT_EQ(first_word(2 * chunk), 4 * chunk + 1);
  EXPECT_EQ(first_word(3 * chunk), 0U);
  EXPECT_EQ(first_word(5 * chunk - 512), 0U);
  EXPECT_EQ(first_word(5 * chunk + 512), 513U);
  EXPECT_EQ(first_word(6 * chunk), 0U);
}

TEST(SmallCounts, StopAtThree) {
  lvm::SmallCounts counts(9);
  for (int i = 0; i < 5; ++i) counts.add_one(3);
  counts.add_one(8);
  counts.set(2, 2);
  counts.set(4, 1);
  std::vector<unsigned> all;
  for (std::uint64_t i = 0; i < counts.size(); ++i) all.push_back(counts.at(i));
  EXPECT_THAT(all, ElementsAre(0U, 0U, 2U, 3U, 1U, 0U, 0U, 0U, 1U));
}

TEST(ThinMetadata, ZerosAreNone) {
  SparseDisk disk(1 << 20);
  DiskView view(shared_ring(), disk);
  EXPECT_THROW(lvm::ThinMetadata{view}, Doubt);
  SparseDisk nothing(0);
  DiskView empty(shared_ring(), nothing);
  EXPECT_THROW(lvm::ThinMetadata{empty}, Doubt);
}

// --- metadata that thin_restore wrote ---------------------------------------------------------

SparseDisk metadata_of(const std::string& name) {
  std::ifstream file(std::string(IMGTOOL_TESTS) + "/fuzz/corpus/thin/" + name, std::ios::binary);
  const std::vector<char> input{std::istreambuf_iterator<char>(file), {}};
  EXPECT_FALSE(input.empty()) << name;
  return disk_from(std::as_bytes(std::span(input)));
}

// As make_thin_corpus.py says them to be.
ThinPoolParts parts(std::uint64_t transaction = 7) {
  ThinPoolParts parts;
  parts.data.size = 1024 * chunk;
  parts.chunk_size = chunk;
  parts.transaction = transaction;
  return parts;
}

TEST(ThinPool, WhatSeveralDevicesHaveIsNoOnesOwn) {
  SparseDisk disk = metadata_of("shared");
  DiskView view(shared_ring(), disk);
  ThinPool pool(view, parts());
  std::uint64_t budget = 100;
  const ThinMap one = pool.map_of(1, 64 * chunk, budget);
  EXPECT_THAT(places(one.pieces_of({0, 64 * chunk}, false)),
              ElementsAre(io::ByteRange{5 * chunk, 2 * chunk}, io::ByteRange{700 * chunk, chunk}));
  EXPECT_THAT(places(one.pieces_of({0, 64 * chunk}, true)),
              ElementsAre(io::ByteRange{700 * chunk, chunk}));
  EXPECT_TRUE(pool.map_of(3, 64 * chunk, budget).pieces_of({0, 64 * chunk}, true).empty());
  EXPECT_THAT(pool.free(),
              ElementsAre(io::ByteRange{0, 5 * chunk}, io::ByteRange{7 * chunk, 693 * chunk},
                          io::ByteRange{701 * chunk, 323 * chunk}));
  EXPECT_THROW((void)pool.map_of(4, 64 * chunk, budget), Doubt);
  // What lies behind the volume's end is not its own, and not free.
  EXPECT_EQ(pool.map_of(1, 9 * chunk + 512, budget).size(), 2 * chunk + 512);
}

TEST(ThinPool, AMapTakesNoMoreBlocksThanAreLeft) {
  SparseDisk disk = metadata_of("levels");
  DiskView view(shared_ring(), disk);
  ThinPool pool(view, parts());
  std::uint64_t budget = 3;  // a root and two leaves
  EXPECT_EQ(pool.map_of(4, 1000 * chunk, budget).size(), 300 * chunk);
  EXPECT_EQ(budget, 0U);
  budget = 2;
  EXPECT_THROW((void)pool.map_of(4, 1000 * chunk, budget), Doubt);
  EXPECT_EQ(budget, 0U);
}

TEST(ThinPool, MustBeWhatItsVolumeGroupSays) {
  SparseDisk disk = metadata_of("empty");
  DiskView view(shared_ring(), disk);
  EXPECT_THAT(ThinPool(view, parts()).free(), ElementsAre(io::ByteRange{0, 1024 * chunk}));
  EXPECT_THROW(ThinPool(view, parts(8)), Doubt);
  ThinPoolParts other = parts();
  other.chunk_size *= 2;
  EXPECT_THROW(ThinPool(view, other), Doubt);
  other = parts();
  other.data.size -= chunk;
  EXPECT_THROW(ThinPool(view, other), Doubt);
  disk.resize(40960);  // its space map is of more blocks
  DiskView shorter(shared_ring(), disk);
  EXPECT_THROW(ThinPool(shorter, parts()), Doubt);
}

// --- what a volume group says of its pools --------------------------------------------------

struct Group {
  // `pool` and `thin`: more keys of the two segments.
  explicit Group(const std::string& pool, const std::string& thin)
      : text(
            "pool { type = \"thin-pool\" metadata = \"meta\" pool = \"data\" transaction_id = 3 "
            "chunk_size = 128 " +
            pool + " } root { type = \"thin\" thin_pool = \"pool\" device_id = 5 " + thin + " }"),
        top(lvm::parse_config(text)) {
    for (const char* name : {"meta", "data"}) {
      hidden[name].size = 1 << 20;
      parts[name].by_others = 1;
    }
    parts["pool"].by_thin_volumes = 1;
    volumes.resize(2);
    volumes[0].size = 1 << 20;
  }

  void link() {
    lvm::link_thin_volumes({{"pool", top.section("pool"), 0}, {"root", top.section("root"), 1}},
                           parts, hidden, volumes);
  }
  bool pool_counts() {
    link();
    EXPECT_TRUE(volumes[0].pool || !volumes[1].pool);
    return volumes[0].pool != nullptr;
  }
  bool volume_counts() {
    link();
    EXPECT_TRUE(volumes[0].pool);
    return volumes[1].pool != nullptr;
  }

  std::string text;
  lvm::Section top;
  lvm::Parts parts;
  std::map<std::string, LogicalVolume, std::less<>> hidden;
  std::vector<LogicalVolume> volumes;
};

TEST(ThinSegments, APoolAndAVolumeInIt) {
  Group group("discards = \"passdown\" zero_new_blocks = 1", "origin = \"root0\"");
  group.link();
  ASSERT_TRUE(group.volumes[0].pool);
  EXPECT_EQ(group.volumes[0].pool->chunk_size, chunk);
  EXPECT_EQ(group.volumes[0].pool->transaction, 3U);
  EXPECT_FALSE(group.volumes[0].is_thin);
  EXPECT_EQ(group.volumes[1].pool, group.volumes[0].pool);
  EXPECT_EQ(group.volumes[1].device, 5U);
  EXPECT_TRUE(group.volumes[1].is_thin);
}

TEST(ThinSegments, WhatIsNotKnownDoesNotCount) {
  for (const char* more : {"new_feature = 1", "message1 { delete = 3 }"}) {
    EXPECT_FALSE(Group(more, "").pool_counts()) << more;
  }
  for (const char* more : {"external_origin = \"x\"", "merge = \"y\"", "new_feature = 1"}) {
    EXPECT_FALSE(Group("", more).volume_counts()) << more;
  }
}

TEST(ThinSegments, PartsBelongToThePoolAlone) {
  Group shared("", "");
  shared.parts["data"].by_others = 2;
  EXPECT_FALSE(shared.pool_counts());
  Group linked("", "");
  linked.parts["meta"].by_thin_volumes = 1;
  EXPECT_FALSE(linked.pool_counts());
  Group elsewhere("", "");
  elsewhere.hidden.erase("meta");
  EXPECT_FALSE(elsewhere.pool_counts());
  Group longer("", "");
  longer.hidden["data"].size *= 2;
  EXPECT_FALSE(longer.pool_counts());
  Group used("", "");
  used.parts["pool"].by_others = 1;
  EXPECT_FALSE(used.pool_counts());
  Group cached("", "");
  cached.parts["root"].by_others = 1;
  EXPECT_FALSE(cached.volume_counts());
}

}  // namespace
}  // namespace formats::filesystems
