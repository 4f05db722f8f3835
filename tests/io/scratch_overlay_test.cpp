#include "io/scratch_overlay.hpp"

#include <algorithm>
#include <random>

#include <gtest/gtest.h>

#include "io/buffer_pool.hpp"
#include "io/error.hpp"
#include "io/task_group.hpp"
#include "tests/io/engines.hpp"
#include "tests/io/pattern_source.hpp"
#include "tests/io/temporary_folder.hpp"

namespace io {
namespace {

class ScratchOverlayTest : public EngineTest {
 protected:
  std::vector<std::byte> read(ScratchOverlay& overlay, ByteRange range) {
    const AlignedMemory memory(range.length);
    std::fill(memory.bytes().begin(), memory.bytes().end(), std::byte{0xee});
    EXPECT_EQ(run_task(ring(), overlay.read(range, memory.buffer())), range.length);
    return {memory.bytes().begin(),
            memory.bytes().begin() + static_cast<std::ptrdiff_t>(range.length)};
  }
  void write(ScratchOverlay& overlay, std::uint64_t offset, std::vector<std::byte> bytes) {
    run_task(ring(), overlay.write(offset, {bytes, -1}));
  }
  void zero(ScratchOverlay& overlay, ByteRange range) { run_task(ring(), overlay.zero(range)); }

  // What is said to be zeros is zeros, and all is said something of.
  void check_extents(ScratchOverlay& overlay, const std::vector<std::byte>& model) {
    for (std::uint64_t at = 0; at < model.size();) {
      const Extent extent = overlay.extent_at(at);
      ASSERT_EQ(extent.range.offset, at);
      ASSERT_FALSE(extent.range.empty());
      ASSERT_LE(extent.range.end(), model.size());
      if (extent.reads_as_zero()) {
        ASSERT_TRUE(std::all_of(model.begin() + static_cast<std::ptrdiff_t>(at),
                                model.begin() + static_cast<std::ptrdiff_t>(extent.range.end()),
                                [](std::byte byte) { return byte == std::byte{0}; }))
            << at;
      }
      at = extent.range.end();
    }
  }

  TemporaryFolder folder;
  File file = folder.make("scratch");
};
INSTANTIATE_TEST_SUITE_P(Engines, ScratchOverlayTest, engines_here(), engine_name);

TEST_P(ScratchOverlayTest, IsWhatAModelIs) {
  PatternSource base(ring(), {{{0, 30'000}, ExtentKind::data},
                              {{30'000, 50'000}, ExtentKind::hole},
                              {{80'000, 40'001}, ExtentKind::data}});
  constexpr std::uint64_t size = 140'003;
  ScratchOverlay overlay(ring(), base, file, size);
  std::vector<std::byte> model = base.content();
  model.resize(size);
  std::mt19937 random(7);
  const auto below = [&](std::uint64_t end) { return random() % end; };
  for (unsigned round = 0; round < 400; ++round) {
    const std::uint64_t offset = below(size);
    const std::uint64_t length =
        std::min<std::uint64_t>(size - offset, 1 + below(round % 3 == 0 ? 20'000 : 100));
    const auto place = model.begin() + static_cast<std::ptrdiff_t>(offset);
    if (round % 4 == 0) {
      zero(overlay, {offset, length});
      std::fill_n(place, length, std::byte{0});
    } else {
      const auto bytes = pattern({offset, length}, round);
      write(overlay, offset, bytes);
      std::copy(bytes.begin(), bytes.end(), place);
    }
    const std::uint64_t from = below(size);
    const ByteRange seen{from, 1 + below(size - from)};
    const auto expected = model.begin() + static_cast<std::ptrdiff_t>(seen.offset);
    ASSERT_EQ(read(overlay, seen),
              std::vector<std::byte>(expected, expected + static_cast<std::ptrdiff_t>(seen.length)))
        << round;
    if (round % 20 == 0) check_extents(overlay, model);
  }
  EXPECT_EQ(read(overlay, {0, size}), model);
  check_extents(overlay, model);
}

TEST_P(ScratchOverlayTest, ReadsOfTheBaseWhatIsNotWritten) {
  PatternSource base(ring(), 64 * KiB);
  ScratchOverlay overlay(ring(), base, file, 64 * KiB);
  write(overlay, 8 * KiB, pattern({0, 8 * KiB}, 3));
  EXPECT_EQ(overlay.written(), 8 * KiB);
  EXPECT_TRUE(base.reads().empty());  // whole granules bring nothing
  (void)read(overlay, {0, 64 * KiB});
  EXPECT_EQ(base.reads(), (std::vector<ByteRange>{{0, 8 * KiB}, {16 * KiB, 48 * KiB}}));
  write(overlay, 20'000, pattern({0, 10}, 3));
  EXPECT_EQ(base.reads().back(), (ByteRange{16 * KiB, 4 * KiB}));
}

TEST_P(ScratchOverlayTest, RefusesWhatLiesBehindItsEnd) {
  PatternSource base(ring(), 10'000);
  ScratchOverlay overlay(ring(), base, file, 10'000);
  EXPECT_THROW(write(overlay, 9'999, pattern({0, 2})), Error);
  EXPECT_THROW(zero(overlay, {10'000, 1}), Error);
  EXPECT_EQ(read(overlay, {0, 10'000}), base.content());
}

TEST_P(ScratchOverlayTest, SaysWhatTheBaseCouldNotGive) {
  PatternSource base(ring(), 64 * KiB);
  base.fail_at({4 * KiB, 1});
  ScratchOverlay overlay(ring(), base, file, 64 * KiB);
  EXPECT_THROW(write(overlay, 4 * KiB + 7, pattern({0, 9})), Error);
  base.repair();
  EXPECT_EQ(read(overlay, {0, 64 * KiB}), base.content());  // nothing was half written
}

TEST_P(ScratchOverlayTest, HasLargerGranulesWhereTheDiskIsLarge) {
  PatternSource base(ring(), 4 * KiB);
  EXPECT_EQ(ScratchOverlay(ring(), base, file, 255 * GiB).granule(), 4 * KiB);
  EXPECT_EQ(ScratchOverlay(ring(), base, file, 4096 * GiB).granule(), 128 * KiB);
}

}  // namespace
}  // namespace io
