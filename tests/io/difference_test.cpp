#include "io/difference.hpp"

#include <gtest/gtest.h>

#include "tests/io/pattern.hpp"

namespace io {
namespace {

using Ranges = std::vector<ByteRange>;

Ranges after_changing(std::size_t size, const std::vector<std::size_t>& places,
                      std::uint64_t offset = 0) {
  const auto before = pattern({0, size});
  auto after = before;
  for (const std::size_t place : places) after[place] ^= std::byte{0x80};
  return differences(before, after, offset);
}

TEST(Difference, EqualContentHasNone) {
  EXPECT_EQ(after_changing(0, {}), Ranges{});
  EXPECT_EQ(after_changing(1, {}), Ranges{});
  EXPECT_EQ(after_changing(10'000, {}), Ranges{});
}

TEST(Difference, FirstAndLastByteAreFound) {
  for (const std::size_t size : {1U, 511U, 4095U, 4096U, 4097U, 20'000U}) {
    EXPECT_EQ(after_changing(size, {0}), (Ranges{{0, 1}})) << size;
    EXPECT_EQ(after_changing(size, {size - 1}), (Ranges{{size - 1, 1}})) << size;
  }
}

TEST(Difference, LiesWhereTheContentLies) {
  EXPECT_EQ(after_changing(100, {7}, 5 * GiB), (Ranges{{5 * GiB + 7, 1}}));
}

TEST(Difference, NeighboursWithin512BytesAreOne) {
  EXPECT_EQ(after_changing(4096, {100, 101, 612}), (Ranges{{100, 513}}));
  EXPECT_EQ(after_changing(4096, {100, 613}), (Ranges{{100, 1}, {613, 1}})) << "512 apart";
  EXPECT_EQ(after_changing(8192, {4000, 4200}), (Ranges{{4000, 201}})) << "over a block's edge";
}

TEST(Difference, ChunksAreJoinedToWhatCameBefore) {
  Ranges ranges;
  append_difference(ranges, {100, 10});
  append_difference(ranges, {110, 10});
  append_difference(ranges, {631, 1});
  append_difference(ranges, {632 + 512, 1});
  EXPECT_EQ(ranges, (Ranges{{100, 532}, {1144, 1}}));
}

}  // namespace
}  // namespace io
