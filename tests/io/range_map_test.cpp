#include "io/range_map.hpp"

#include <algorithm>
#include <iterator>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "io/allocation_map.hpp"

namespace io {
namespace {

using Map = RangeMap<char>;
using Entries = std::vector<Map::Entry>;

static_assert(std::forward_iterator<Map::Iterator>);

Entries entries_of(const Map& map) { return {map.begin(), map.end()}; }

TEST(RangeMap, EmptyHasNoEntries) {
  const Map map;
  EXPECT_TRUE(map.empty());
  EXPECT_TRUE(entries_of(map).empty());
  EXPECT_EQ(map.find(0), map.end());
}

TEST(RangeMap, SetCutsAndMerges) {
  Map map(100, 'a');
  map.set({10, 10}, 'b');
  EXPECT_EQ(entries_of(map), (Entries{{{0, 10}, 'a'}, {{10, 10}, 'b'}, {{20, 80}, 'a'}}));
  map.set({30, 70}, 'b');
  map.set({20, 10}, 'b');
  EXPECT_EQ(entries_of(map), (Entries{{{0, 10}, 'a'}, {{10, 90}, 'b'}}));
  map.set({0, 10}, 'b');
  EXPECT_EQ(entries_of(map), (Entries{{{0, 100}, 'b'}}));
}

TEST(RangeMap, EmptyRangeChangesNothing) {
  Map map(10, 'a');
  map.set({5, 0}, 'b');
  map.set({10, 0}, 'b');
  EXPECT_EQ(map, Map(10, 'a'));
}

TEST(RangeMap, AppendGrowsAndMerges) {
  Map map;
  map.append(5, 'a');
  map.append(0, 'b');
  map.append(5, 'a');
  map.append(1, 'b');
  EXPECT_EQ(entries_of(map), (Entries{{{0, 10}, 'a'}, {{10, 1}, 'b'}}));
  EXPECT_EQ(map.size(), 11U);
}

TEST(RangeMap, FindGoesOnFromTheMiddle) {
  Map map(30, 'a');
  map.set({10, 10}, 'b');
  auto it = map.find(19);
  EXPECT_EQ(*it, (Map::Entry{{10, 10}, 'b'}));
  EXPECT_EQ(*++it, (Map::Entry{{20, 10}, 'a'}));
  EXPECT_EQ(++it, map.end());
  EXPECT_EQ(map.find(30), map.end());
}

TEST(RangeMap, WorksUpToTheLastOffset) {
  Map map(UINT64_MAX, 'a');
  map.set({UINT64_MAX - 1, 1}, 'b');
  EXPECT_EQ(map.at(UINT64_MAX - 1), (Map::Entry{{UINT64_MAX - 1, 1}, 'b'}));
  EXPECT_EQ(map.total('a'), UINT64_MAX - 1);
}

TEST(RangeMap, AgreesWithAByteArray) {
  std::mt19937 random(7);
  for (int round = 0; round < 40; ++round) {
    const std::size_t size = 1 + random() % 300;
    std::vector<char> bytes(size, 'a');
    Map map(size, 'a');
    for (int step = 0; step < 200; ++step) {
      const std::size_t offset = random() % (size + 1);
      const std::size_t length = std::min<std::size_t>(random() % 40, size - offset);
      const char value = static_cast<char>('a' + random() % 3);
      std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(offset), length, value);
      map.set({offset, length}, value);

      Entries expected;
      for (std::size_t i = 0; i < size; ++i) {
        if (i == 0 || bytes[i] != bytes[i - 1]) expected.push_back({{i, 0}, bytes[i]});
        ++expected.back().range.length;
      }
      ASSERT_EQ(entries_of(map), expected);
      ASSERT_EQ(map.total('b'), static_cast<std::uint64_t>(std::ranges::count(bytes, 'b')));
      const std::size_t probe = random() % size;
      ASSERT_EQ(map.at(probe).value, bytes[probe]);
      ASSERT_TRUE(map.at(probe).range.contains(probe));
    }
  }
}

TEST(AllocationMap, CountsData) {
  AllocationMap map(1 * MiB, ExtentKind::hole);
  map.set({0, 4096}, ExtentKind::data);
  map.set({8192, 4096}, ExtentKind::zero);
  EXPECT_EQ(data_bytes(map), 4096U);
}

}  // namespace
}  // namespace io
