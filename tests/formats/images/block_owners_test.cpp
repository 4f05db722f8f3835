// Blocks and clusters that lie in bytes of their own, and those that do not.
#include "formats/images/block_owners.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "formats/images/block_map.hpp"
#include "tests/formats/images/block_image_support.hpp"

namespace formats {
namespace {

using testing_blocks::expect_refused;

constexpr std::uint64_t table_word = 77;  // where the entry of a block is said to be

TEST(BlockOwners, TakesBlocksInAnyOrder) {
  BlockOwners owners("image", 1000, 100);
  owners.reserve({0, 100}, "the header");
  for (const std::uint64_t offset : {900U, 100U, 350U, 250U, 700U}) {
    owners.add(offset, 100, 0, table_word);
  }
  owners.check();
}

TEST(BlockOwners, NoTwoBlocksShareAByte) {
  BlockOwners owners("image", 1000, 100);
  owners.add(300, 100, 0, table_word);
  owners.add(201, 100, 1, table_word);
  expect_refused(io::ErrorKind::format, "offset 300", [&] {
    owners.check();
    return 0;
  });
}

TEST(BlockOwners, WhatIsContentLiesInTheFile) {
  BlockOwners owners("image", 1000, 100);
  const auto refused = [&](std::uint64_t offset, std::uint64_t needed) {
    expect_refused(io::ErrorKind::format, "offset 77: block 5 is said to be at", [&] {
      owners.add(offset, needed, 5, table_word);
      return 0;
    });
  };
  refused(950, 51);
  refused(1000, 0);
  refused(~std::uint64_t{0}, 100);
  owners.add(950, 50, 5, table_word);
}

TEST(BlockOwners, TablesAreNoPlaceForABlock) {
  BlockOwners owners("image", 1000, 100);
  owners.reserve({400, 10}, "the table");
  expect_refused(io::ErrorKind::format, "where the table is", [&] {
    owners.add(301, 1, 0, table_word);
    return 0;
  });
  owners.add(300, 1, 0, table_word);
  owners.add(410, 1, 0, table_word);
}

TEST(BlockOwners, RefusesMoreBlocksThanFitBeforeTheyTakeMemory) {
  BlockOwners owners("image", 1000, 400);
  for (int i = 0; i < 3; ++i) owners.add(0, 1, 0, table_word);
  expect_refused(io::ErrorKind::format, "no room for so many", [&] {
    owners.add(0, 1, 0, table_word);
    return 0;
  });
}

TEST(BlockOwners, ACheckHearsOfAllFaultsAndCountsWhatIsNobodys) {
  std::vector<std::string> told;
  BlockCheck check([&told](const std::string& text) { told.push_back(text); });
  BlockOwners owners("image", 10'000, 1000, &check);
  owners.reserve({0, 500}, "the header");
  owners.add(600, 1000, 0, 1);
  owners.add(600, 1000, 1, 2);   // twice
  owners.add(400, 1000, 2, 3);   // in the header
  owners.add(9500, 1000, 3, 4);  // past the end
  owners.add(3600, 1000, 4, 5);  // behind a gap of two blocks
  owners.add(5500, 1000, 5, 6);  // behind one that is too short
  owners.check();
  owners.count_leaks();
  EXPECT_EQ(told.size(), 3U);
  const BlockCheckResult& result = check.result();
  EXPECT_EQ(result.corruptions, 3U);
  EXPECT_EQ(result.allocated_blocks, 4U);
  EXPECT_EQ(result.leaked_blocks, 2U + 3U);
  EXPECT_EQ(result.leaked_bytes, 5000U);
  EXPECT_EQ(result.image_end, 6500U);
}

TEST(ClusterOwners, CountsWhatIsFree) {
  ClusterOwners owners("image", 100 * 512 + 100, 512);
  EXPECT_EQ(owners.count_free(100 * 512 + 100), 100U);
  EXPECT_EQ(owners.end(), 0U);
  EXPECT_TRUE(owners.take({0, 512}));
  EXPECT_TRUE(owners.take({70 * 512, 1000}));
  EXPECT_EQ(owners.count_free(100 * 512 + 100), 97U);
  EXPECT_EQ(owners.end(), 72U * 512);
  EXPECT_TRUE(owners.take({100 * 512, 100}));  // the part at the end is no whole one
  EXPECT_EQ(owners.count_free(100 * 512 + 100), 97U);
}

TEST(ClusterOwners, AClusterIsTakenOnce) {
  ClusterOwners owners("image", 100 * 512, 512);
  EXPECT_TRUE(owners.take({0, 100}));
  EXPECT_FALSE(owners.take({100, 1}));
  EXPECT_TRUE(owners.take({512, 1024}));
  EXPECT_FALSE(owners.take({1024, 512}));
  EXPECT_TRUE(owners.take({1536, 512}));
  EXPECT_TRUE(owners.take({99 * 512, 512}));
  EXPECT_TRUE(owners.take({2048, 0}));
  EXPECT_TRUE(owners.take({2048, 512}));
}

TEST(ClusterOwners, FilesOfTooManyClustersAreNotSupported) {
  expect_refused(io::ErrorKind::unsupported, "clusters",
                 [] { return ClusterOwners("image", std::uint64_t{1} << 62, 512); });
}

class TwoKinds final : public EntryMap {
 public:
  TwoKinds() : EntryMap(5000 * 10 - 3, 10) {}

 private:
  StoredBlock block_at(std::uint64_t index) override {
    if (index < 4000) return {BlockKind::plain, 100 + index * 10};
    StoredBlock block;
    block.alike = block_count() - index;
    return block;
  }
};

TEST(EntryMap, RunsCoverTheDiskInPiecesOfBoundedWork) {
  TwoKinds map;
  EXPECT_EQ(map.content_of(4999), 7U);
  EXPECT_EQ(map.content_of(5000), 0U);
  const auto runs = testing_blocks::runs_of(map);
  ASSERT_EQ(runs.size(), 5U);
  EXPECT_EQ(runs[0].length, 10240U);
  EXPECT_EQ(runs[1].host, 100U + 10240);
  EXPECT_EQ(runs[4].kind, BlockKind::absent);
  EXPECT_EQ(runs[4].length, 9997U);
  EXPECT_EQ(map.run_at(15, 3).host, 115U);
  EXPECT_EQ(map.run_at(15, 3).length, 3U);
}

}  // namespace
}  // namespace formats
