#include "io/rescue_source.hpp"

#include <cerrno>

#include <gtest/gtest.h>

#include "io/buffer_pool.hpp"
#include "io/task_group.hpp"
#include "tests/io/engines.hpp"
#include "tests/io/pattern_source.hpp"

namespace io {
namespace {

using Ranges = std::vector<ByteRange>;

class RescueSourceTest : public EngineTest {
 protected:
  std::vector<std::byte> rescue(PatternSource& disk, std::uint32_t sector, ByteRange range) {
    RescueSource source(disk, sector, [this](ByteRange bad, auto) { lost_.push_back(bad); });
    const AlignedMemory memory(range.length);
    std::fill(memory.bytes().begin(), memory.bytes().end(), std::byte{0xaa});
    const auto count = run_task(ring(), source.read(range, memory.buffer()));
    EXPECT_EQ(count, range.length);
    return {memory.bytes().begin(),
            memory.bytes().begin() + static_cast<std::ptrdiff_t>(range.length)};
  }
  // The disk's content with zeros where it was lost.
  static std::vector<std::byte> expected(const PatternSource& disk, ByteRange range,
                                         const Ranges& lost) {
    auto content = disk.content();
    for (const ByteRange& bad : lost) {
      std::fill_n(content.begin() + static_cast<std::ptrdiff_t>(bad.offset), bad.length,
                  std::byte{0});
    }
    const auto begin = content.begin() + static_cast<std::ptrdiff_t>(range.offset);
    return {begin, begin + static_cast<std::ptrdiff_t>(range.length)};
  }
  Ranges lost_;
};
INSTANTIATE_TEST_SUITE_P(Engines, RescueSourceTest, engines_here(), engine_name);

TEST_P(RescueSourceTest, AGoodDiskIsReadOnce) {
  PatternSource disk(ring(), 256 * KiB);
  EXPECT_EQ(rescue(disk, 512, {0, 256 * KiB}), disk.content());
  EXPECT_EQ(disk.reads(), (Ranges{{0, 256 * KiB}}));
  EXPECT_TRUE(lost_.empty());
}

TEST_P(RescueSourceTest, OneBadSectorCostsOneSector) {
  for (const std::uint32_t sector : {512U, 4096U}) {
    for (const std::uint64_t at : {0U, 100'000U, 262'143U}) {
      lost_.clear();
      PatternSource disk(ring(), 256 * KiB);
      disk.fail_at({at, 1});
      const auto content = rescue(disk, sector, {0, 256 * KiB});
      const Ranges bad = {{align_down(at, sector), sector}};
      EXPECT_EQ(lost_, bad);
      EXPECT_EQ(content, expected(disk, {0, 256 * KiB}, bad));
      // Split by 16 a level: 256 KiB, 16 KiB, 1 KiB, 512 bytes at most, never a walk over all.
      EXPECT_LE(disk.reads().size(), 1U + 16 + 16 + 16);
    }
  }
}

TEST_P(RescueSourceTest, NeighboursOfABadStretchAreKept) {
  PatternSource disk(ring(), 128 * KiB);
  disk.fail_at({70'000, 2000});  // touches sectors 136 to 140
  const auto content = rescue(disk, 512, {64 * KiB, 64 * KiB});
  EXPECT_EQ(lost_,
            (Ranges{{69'632, 512}, {70'144, 512}, {70'656, 512}, {71'168, 512}, {71'680, 512}}));
  EXPECT_EQ(content, expected(disk, {64 * KiB, 64 * KiB}, lost_));
}

TEST_P(RescueSourceTest, NothingCanBeRead) {
  PatternSource disk(ring(), 16 * KiB);
  disk.fail_at({0, 16 * KiB});
  const auto content = rescue(disk, 512, {0, 16 * KiB});
  EXPECT_EQ(lost_.size(), 32U);
  EXPECT_EQ(content, std::vector<std::byte>(16 * KiB));
}

TEST_P(RescueSourceTest, ARangeThatIsNoMultipleOfSectors) {
  PatternSource disk(ring(), 4096 + 700);
  disk.fail_at({4700, 1});
  const auto content = rescue(disk, 512, {0, 4796});
  EXPECT_EQ(lost_, (Ranges{{4608, 188}}));
  EXPECT_EQ(content, expected(disk, {0, 4796}, lost_));
}

TEST_P(RescueSourceTest, MediumErrorsOfEveryKind) {
  for (const int number : {EIO, ENODATA, EILSEQ, EREMOTEIO, ETIMEDOUT}) {
    lost_.clear();
    PatternSource disk(ring(), 4096);
    disk.fail_at({512, 512}, number);
    rescue(disk, 512, {0, 4096});
    EXPECT_EQ(lost_, (Ranges{{512, 512}})) << number;
  }
}

TEST_P(RescueSourceTest, ADiskThatWentAwayIsNotABadSector) {
  for (const int number : {ENODEV, ENXIO, EBADF}) {
    PatternSource disk(ring(), 64 * KiB);
    disk.fail_at({512, 512}, number);
    EXPECT_THROW(rescue(disk, 512, {0, 64 * KiB}), Error) << number;
    EXPECT_TRUE(lost_.empty());
    EXPECT_EQ(disk.reads().size(), 1U) << "tried again for nothing";
  }
}

TEST_P(RescueSourceTest, ShowsTheDisksExtents) {
  PatternSource disk(ring(), {{{0, 4096}, ExtentKind::data}, {{4096, 4096}, ExtentKind::hole}});
  RescueSource source(disk, 512, [](ByteRange, auto) {});
  EXPECT_EQ(source.size(), 8192U);
  EXPECT_EQ(source.extent_at(5000), disk.extent_at(5000));
  EXPECT_EQ(source.name(), disk.name());
}

}  // namespace
}  // namespace io
