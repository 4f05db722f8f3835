#include "imgtool/terminal/human.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "io/byte_range.hpp"

namespace imgtool {
namespace {

using io::GiB;
using io::KiB;
using io::MiB;

TEST(HumanSize, HasThreeSignificantDigits) {
  EXPECT_EQ(human_size(0), "0 B");
  EXPECT_EQ(human_size(1023), "1023 B");
  EXPECT_EQ(human_size(1024), "1.0 KiB");
  EXPECT_EQ(human_size(3 * GiB / 2), "1.5 GiB");
  EXPECT_EQ(human_size(99 * MiB + 900 * KiB), "99.9 MiB");
  EXPECT_EQ(human_size(100 * MiB), "100 MiB");
  EXPECT_EQ(human_size(std::numeric_limits<std::uint64_t>::max()), "16.0 EiB");
}

TEST(HumanSize, NeverRoundsUpTo1024) {
  EXPECT_EQ(human_size(1023 * MiB), "1023 MiB");
  EXPECT_EQ(human_size(GiB - 1), "1.0 GiB");
  EXPECT_EQ(human_size(100 * MiB - 1), "100 MiB");
}

TEST(HumanRate, IsASizeASecond) {
  EXPECT_EQ(human_rate(312.4 * 1024 * 1024), "312 MiB/s");
  EXPECT_EQ(human_rate(-1), "0 B/s");
}

TEST(HumanDuration, UsesTheTwoLargestUnits) {
  EXPECT_EQ(human_duration(0.26), "0.3 s");
  EXPECT_EQ(human_duration(9.96), "10 s");
  EXPECT_EQ(human_duration(59.6), "1 min 00 s");
  EXPECT_EQ(human_duration(200), "3 min 20 s");
  EXPECT_EQ(human_duration(7500), "2 h 05 min");
  EXPECT_EQ(human_duration(4 * 86400 + 3600), "4 d 01 h");
}

TEST(ClockDuration, ReadsLikeAClock) {
  EXPECT_EQ(clock_duration(0), "0:00");
  EXPECT_EQ(clock_duration(7.4), "0:07");
  EXPECT_EQ(clock_duration(754), "12:34");
  EXPECT_EQ(clock_duration(3723), "1:02:03");
  EXPECT_EQ(clock_duration(36120), "10 h 02");
  EXPECT_EQ(clock_duration(90000), "25 h 00");
  EXPECT_EQ(clock_duration(4 * 86400), "4 d");
  EXPECT_EQ(clock_duration(std::numeric_limits<double>::infinity()), "11574 d");
}

}  // namespace
}  // namespace imgtool
