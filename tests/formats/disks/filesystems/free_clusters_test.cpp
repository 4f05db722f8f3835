#include "formats/disks/filesystems/free_clusters.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace formats::filesystems {
namespace {

using Ranges = std::vector<io::ByteRange>;

std::vector<std::byte> bits(std::initializer_list<int> values) {
  std::vector<std::byte> bytes;
  for (const int value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

TEST(FreeClusters, AreRangesOfBytesFromTheFirstClusterOn) {
  FreeClusters free(1000, 10);
  free.add(0, 2);
  free.add(5, 1);
  EXPECT_EQ(free.count(), 3u);
  EXPECT_EQ(std::move(free).take(), (Ranges{{1000, 20}, {1050, 10}}));
}

TEST(FreeClusters, JoinWhereTheyTouch) {
  FreeClusters free(0, 4);
  free.add(1, 1);
  free.add(2, 3);
  EXPECT_EQ(std::move(free).take(), (Ranges{{4, 16}}));
}

TEST(FreeClusters, TakeClearBitsLowestFirst) {
  FreeClusters free(0, 1);
  free.add_clear_bits(bits({0b1111'0110, 0xff, 0x7f}), 100, 24);
  EXPECT_EQ(std::move(free).take(), (Ranges{{100, 1}, {103, 1}, {123, 1}}));
}

TEST(FreeClusters, IgnoreBitsBehindTheCount) {
  FreeClusters free(0, 1);
  free.add_clear_bits(bits({0, 0}), 0, 11);
  EXPECT_EQ(std::move(free).take(), (Ranges{{0, 11}}));
}

TEST(FreeClusters, ReadBitsAsALoopOverThemWould) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    const std::uint64_t count = 1 + random() % 300;
    std::vector<std::byte> bytes((count + 7) / 8 + random() % 10);
    for (std::byte& byte : bytes) {
      byte = static_cast<std::byte>(random() % 3 == 0 ? random() : (random() % 2) * 0xff);
    }
    FreeClusters free(0, 1);
    FreeClusters expected(0, 1);
    free.add_clear_bits(bytes, 7, count);
    for (std::uint64_t i = 0; i < count; ++i) {
      if (((bytes[i / 8] >> (i % 8)) & std::byte{1}) == std::byte{0}) expected.add(7 + i, 1);
    }
    EXPECT_EQ(free.count(), expected.count());
    EXPECT_EQ(std::move(free).take(), std::move(expected).take());
  }
}

TEST(FreeClusters, KnowWhetherTheyHaveAnyOfARun) {
  FreeClusters free(0, 1);
  free.add(10, 5);
  free.add(20, 1);
  EXPECT_FALSE(free.have_any_of(0, 10));
  EXPECT_TRUE(free.have_any_of(0, 11));
  EXPECT_TRUE(free.have_any_of(14, 1));
  EXPECT_FALSE(free.have_any_of(15, 5));
  EXPECT_TRUE(free.have_any_of(15, 6));
  EXPECT_TRUE(free.have_any_of(20, 100));
  EXPECT_FALSE(free.have_any_of(21, 100));
  EXPECT_FALSE(free.have_any_of(12, 0));
}

TEST(FreeClusters, DropTheShortestOnesWhenThereAreTooMany) {
  FreeClusters free(0, 1, 8);
  for (std::uint64_t i = 0; i < 100; ++i) free.add(i * 1000, i % 30 == 0 ? 100 : 1);
  EXPECT_EQ(free.count(), 4u * 100 + 96);  // all are counted
  const Ranges ranges = std::move(free).take();
  EXPECT_LE(ranges.size(), 8u);
  EXPECT_EQ(std::count_if(ranges.begin(), ranges.end(),
                          [](const io::ByteRange& range) { return range.length == 100; }),
            4);
}

TEST(FreeClusters, KeepSomeOfManyThatAreAlike) {
  FreeClusters free(0, 1, 8);
  for (std::uint64_t i = 0; i < 100; ++i) free.add(i * 10, 3);
  EXPECT_EQ(free.count(), 300u);
  const Ranges ranges = std::move(free).take();
  EXPECT_GE(ranges.size(), 4u);
  EXPECT_LE(ranges.size(), 8u);
  for (const io::ByteRange& range : ranges) {
    EXPECT_EQ(range.offset % 10, 0u);
    EXPECT_EQ(range.length, 3u);
  }
}

}  // namespace
}  // namespace formats::filesystems
