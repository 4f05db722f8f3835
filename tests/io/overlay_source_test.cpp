#include "io/overlay_source.hpp"

#include <gtest/gtest.h>

#include "io/buffer_pool.hpp"
#include "io/task_group.hpp"
#include "tests/io/engines.hpp"
#include "tests/io/pattern_source.hpp"

namespace io {
namespace {

class OverlaySourceTest : public EngineTest {
 protected:
  std::vector<std::byte> read(OverlaySource& source, ByteRange range) {
    const AlignedMemory memory(range.length);
    std::fill(memory.bytes().begin(), memory.bytes().end(), std::byte{0xee});
    EXPECT_EQ(run_task(ring(), source.read(range, memory.buffer())), range.length);
    return {memory.bytes().begin(),
            memory.bytes().begin() + static_cast<std::ptrdiff_t>(range.length)};
  }
  static std::vector<std::byte> filled(std::size_t count, int value) {
    return std::vector<std::byte>(count, static_cast<std::byte>(value));
  }
};
INSTANTIATE_TEST_SUITE_P(Engines, OverlaySourceTest, engines_here(), engine_name);

TEST_P(OverlaySourceTest, ShowsPatchesOverTheBaseAndZerosBehindIt) {
  PatternSource base(ring(), 10'000);
  OverlaySource overlay(base, {{9'990, filled(20, 7)}, {100, filled(50, 9)}}, 12'000);
  std::vector<std::byte> expected = base.content();
  expected.resize(12'000);
  std::fill_n(expected.begin() + 100, 50, std::byte{9});
  std::fill_n(expected.begin() + 9'990, 20, std::byte{7});
  EXPECT_EQ(overlay.size(), 12'000U);
  EXPECT_EQ(read(overlay, {0, 12'000}), expected);
  for (const ByteRange range : {ByteRange{99, 1}, ByteRange{120, 5}, ByteRange{149, 2},
                                ByteRange{9'995, 10}, ByteRange{11'000, 1'000}}) {
    const auto at = expected.begin() + static_cast<std::ptrdiff_t>(range.offset);
    EXPECT_EQ(read(overlay, range),
              std::vector<std::byte>(at, at + static_cast<std::ptrdiff_t>(range.length)));
  }
}

TEST_P(OverlaySourceTest, ShowsNoMoreThanItsSize) {
  PatternSource base(ring(), 10'000);
  OverlaySource overlay(base, {{4'990, filled(10, 7)}}, 5'000);
  EXPECT_EQ(read(overlay, {4'980, 20}).back(), std::byte{7});
  EXPECT_EQ(overlay.extent_at(0).range, (ByteRange{0, 4'990}));
  EXPECT_EQ(overlay.extent_at(4'995).range, (ByteRange{4'995, 5}));
}

TEST_P(OverlaySourceTest, APatchIsDataWhateverIsBelowIt) {
  PatternSource base(
      ring(), {Extent{{0, 4'096}, ExtentKind::data}, Extent{{4'096, 8'192}, ExtentKind::hole}});
  OverlaySource overlay(base, {{6'000, filled(100, 1)}, {20'000, filled(10, 2)}}, 30'000);
  EXPECT_EQ(overlay.extent_at(0), (Extent{{0, 4'096}, ExtentKind::data}));
  EXPECT_EQ(overlay.extent_at(5'000), (Extent{{5'000, 1'000}, ExtentKind::hole}));
  EXPECT_EQ(overlay.extent_at(6'050), (Extent{{6'050, 50}, ExtentKind::data}));
  EXPECT_EQ(overlay.extent_at(6'100), (Extent{{6'100, 6'188}, ExtentKind::hole}));
  EXPECT_EQ(overlay.extent_at(12'288), (Extent{{12'288, 7'712}, ExtentKind::hole}));
  EXPECT_EQ(overlay.extent_at(20'000), (Extent{{20'000, 10}, ExtentKind::data}));
  EXPECT_EQ(overlay.extent_at(20'010), (Extent{{20'010, 9'990}, ExtentKind::hole}));
  (void)read(overlay, {12'288, 1'000});
  EXPECT_TRUE(base.reads().empty());  // nothing of the base is there
}

}  // namespace
}  // namespace io
