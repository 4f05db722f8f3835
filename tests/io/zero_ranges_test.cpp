#include "io/zero_ranges.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/buffer_pool.hpp"
#include "io/task_group.hpp"
#include "tests/io/engines.hpp"
#include "tests/io/pattern_source.hpp"

namespace io {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class ZeroRangesTest : public EngineTest {
 protected:
  std::vector<std::byte> read(ZeroRanges& source, ByteRange range) {
    const AlignedMemory memory(range.length);
    std::fill(memory.bytes().begin(), memory.bytes().end(), std::byte{0xee});
    EXPECT_EQ(run_task(ring(), source.read(range, memory.buffer())), range.length);
    return {memory.bytes().begin(),
            memory.bytes().begin() + static_cast<std::ptrdiff_t>(range.length)};
  }
  // `range` of the disk, with zeros where `free` is.
  static std::vector<std::byte> expected(const PatternSource& disk,
                                         const std::vector<ByteRange>& free, ByteRange range) {
    std::vector<std::byte> content = disk.content();
    for (const ByteRange& zeros : free) {
      std::fill_n(content.begin() + static_cast<std::ptrdiff_t>(zeros.offset), zeros.length,
                  std::byte{0});
    }
    const auto begin = content.begin() + static_cast<std::ptrdiff_t>(range.offset);
    return {begin, begin + static_cast<std::ptrdiff_t>(range.length)};
  }
};
INSTANTIATE_TEST_SUITE_P(Engines, ZeroRangesTest, engines_here(), engine_name);

TEST_P(ZeroRangesTest, ReadsWhatIsUsedInWholePagesAndNothingElse) {
  PatternSource disk(ring(), 100'000);
  const std::vector<ByteRange> free{{8192, 16384}, {40960, 4096}, {50'000, 20'000}};
  ZeroRanges source(disk, free, 4096);
  EXPECT_EQ(read(source, {0, 100'000}), expected(disk, free, {0, 100'000}));
  EXPECT_THAT(disk.sorted_reads(), ElementsAre(ByteRange{0, 8192}, ByteRange{24576, 16384},
                                               ByteRange{45056, 8192}, ByteRange{69632, 30'368}));
}

TEST_P(ZeroRangesTest, WhatIsFreeThroughoutIsNotReadAtAll) {
  PatternSource disk(ring(), 100'000);
  ZeroRanges source(disk, {{8192, 80'000}}, 4096);
  EXPECT_EQ(read(source, {12288, 40960}), std::vector<std::byte>(40960));
  EXPECT_THAT(disk.reads(), IsEmpty());
}

TEST_P(ZeroRangesTest, PiecesCloserThanTheGrainAreReadTogether) {
  PatternSource disk(ring(), 262'144);
  const std::vector<ByteRange> free{{10'000, 20'000}, {70'000, 130'000}};
  ZeroRanges source(disk, free, 65536);
  EXPECT_EQ(read(source, {0, 262'144}), expected(disk, free, {0, 262'144}));
  EXPECT_THAT(disk.sorted_reads(), ElementsAre(ByteRange{0, 131'072}, ByteRange{196'608, 65536}));
}

TEST_P(ZeroRangesTest, AnyRangeOfItReadsTheSame) {
  PatternSource disk(ring(), 60'000);
  const std::vector<ByteRange> free{{1'000, 1}, {4'096, 4'096}, {20'000, 9'999}, {59'000, 1'000}};
  ZeroRanges source(disk, free, 4096);
  for (const ByteRange range :
       {ByteRange{0, 60'000}, ByteRange{999, 3}, ByteRange{4'096, 4'096}, ByteRange{5'000, 1'000},
        ByteRange{8'191, 12'000}, ByteRange{29'998, 2}, ByteRange{58'999, 1'001}}) {
    EXPECT_EQ(read(source, range), expected(disk, free, range)) << range.offset;
  }
}

TEST_P(ZeroRangesTest, FreeRangesAreHolesBetweenTheDisksOwnExtents) {
  PatternSource disk(ring(),
                     {Extent{{0, 8192}, ExtentKind::data}, Extent{{8192, 8192}, ExtentKind::zero},
                      Extent{{16384, 8192}, ExtentKind::data}});
  ZeroRanges source(disk, {{4096, 8192}, {20480, 100'000}}, 4096);  // one ends behind the disk
  std::vector<Extent> extents;
  for (std::uint64_t at = 0; at < 24576; at = extents.back().range.end()) {
    extents.push_back(source.extent_at(at));
  }
  EXPECT_THAT(
      extents,
      ElementsAre(Extent{{0, 4096}, ExtentKind::data}, Extent{{4096, 8192}, ExtentKind::hole},
                  Extent{{12288, 4096}, ExtentKind::zero}, Extent{{16384, 4096}, ExtentKind::data},
                  Extent{{20480, 4096}, ExtentKind::hole}));
}

}  // namespace
}  // namespace io
