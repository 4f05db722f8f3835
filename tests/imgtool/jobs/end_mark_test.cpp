#include "imgtool/jobs/end_mark.hpp"

#include <gtest/gtest.h>

#include "tests/imgtool/jobs/fake_place.hpp"

namespace imgtool {
namespace {

using io::ByteRange;
using io::KiB;
using io::MiB;

constexpr std::uint64_t disk_bytes = 4 * MiB;
constexpr std::uint64_t mark_begin = disk_bytes - 64 * KiB;

class EndMarkTest : public testing::Test {
 protected:
  // Of a burn that was cut off: it stays.
  void leave_a_mark(std::uint64_t content_end) {
    const auto medium = place_.start(*ring_);
    const EndMark mark(*ring_, *medium, disk_bytes, content_end);
    EXPECT_FALSE(mark.changed(content_end));
  }
  void burn_to_the_end(std::uint64_t content_end) {
    const auto medium = place_.start(*ring_);
    EndMark mark(*ring_, *medium, disk_bytes, content_end);
    EXPECT_FALSE(mark.changed(content_end));
    EXPECT_TRUE(mark.remove(content_end));
  }
  [[nodiscard]] bool holds_old_bytes(ByteRange range) const {
    const auto begin = place_.cells().begin() + static_cast<std::ptrdiff_t>(range.offset);
    return std::all_of(begin, begin + static_cast<std::ptrdiff_t>(range.length),
                       [](std::byte byte) { return byte == std::byte{0xee}; });
  }

  std::unique_ptr<io::Ring> ring_ = io::make_ring({}).ring;
  FakePlace place_{"disk", disk_bytes};
};

TEST_F(EndMarkTest, WhatWasThereComesBack) {
  burn_to_the_end(MiB);
  EXPECT_TRUE(holds_old_bytes({0, disk_bytes}));
}

TEST_F(EndMarkTest, AMarkThatWasLeftThereIsNotWhatWasThere) {
  leave_a_mark(MiB);
  EXPECT_FALSE(holds_old_bytes({mark_begin, 64 * KiB}));
  burn_to_the_end(MiB);
  EXPECT_TRUE(place_.holds_zeros({mark_begin, 64 * KiB}));
  EXPECT_TRUE(holds_old_bytes({0, mark_begin}));
}

TEST_F(EndMarkTest, APartOfAMarkIsKnownToo) {
  leave_a_mark(disk_bytes - 16 * KiB);
  burn_to_the_end(MiB);
  EXPECT_TRUE(holds_old_bytes({mark_begin, 48 * KiB}));
  EXPECT_TRUE(place_.holds_zeros({disk_bytes - 16 * KiB, 16 * KiB}));

  leave_a_mark(MiB);
  burn_to_the_end(disk_bytes - 8 * KiB);
  EXPECT_TRUE(place_.holds_zeros({disk_bytes - 8 * KiB, 8 * KiB}));
}

TEST_F(EndMarkTest, WhatIsLostOnTheWayBackIsWrittenAgain) {
  for (const int times : {1, 2}) {
    const auto medium = place_.start(*ring_);
    EndMark mark(*ring_, *medium, disk_bytes, MiB);
    place_.bad_cells[mark_begin + 5] = times;
    EXPECT_EQ(mark.remove(MiB), times == 1);
    EXPECT_EQ(holds_old_bytes({0, disk_bytes}), times == 1);
  }
}

TEST_F(EndMarkTest, ZerosThatAreNotMadeAreWritten) {
  leave_a_mark(MiB);
  place_.ignore_zeroing = true;
  burn_to_the_end(MiB);
  EXPECT_TRUE(place_.holds_zeros({mark_begin, 64 * KiB}));
}

TEST_F(EndMarkTest, TwoMarksDiffer) {
  leave_a_mark(MiB);
  const auto first = place_.cells();
  leave_a_mark(MiB);
  EXPECT_NE(place_.cells(), first);
}

}  // namespace
}  // namespace imgtool
