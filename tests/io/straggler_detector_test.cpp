#include "io/straggler_detector.hpp"

#include <gtest/gtest.h>

namespace io {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Ring::Clock::time_point start{};

TEST(StragglerDetector, TellsTheOneThatTookMoreThanHalfOfAllLanesTime) {
  StragglerDetector watch(3, 4, start);
  watch.waited_for(0, seconds(1));
  watch.waited_for(2, milliseconds(4001));  // of 4 lanes x 2 s
  EXPECT_EQ(watch.straggler(start + seconds(2)), std::optional<std::size_t>(2));
}

TEST(StragglerDetector, SaysNothingBeforeThePeriodIsOver) {
  StragglerDetector watch(2, 4, start);
  watch.waited_for(1, seconds(7));
  EXPECT_FALSE(watch.straggler(start + milliseconds(1999)).has_value());
  EXPECT_TRUE(watch.straggler(start + seconds(2)).has_value());
}

TEST(StragglerDetector, HalfIsNotEnough) {
  StragglerDetector watch(2, 4, start);
  watch.waited_for(1, seconds(4));
  EXPECT_FALSE(watch.straggler(start + seconds(2)).has_value());
}

TEST(StragglerDetector, EveryPeriodStartsAnew) {
  StragglerDetector watch(2, 4, start);
  watch.waited_for(1, seconds(3));
  EXPECT_FALSE(watch.straggler(start + seconds(2)).has_value());
  watch.waited_for(1, seconds(3));
  EXPECT_FALSE(watch.straggler(start + seconds(4)).has_value());
}

TEST(StragglerDetector, WithoutTargetsThereIsNone) {
  StragglerDetector watch(0, 4, start);
  EXPECT_FALSE(watch.straggler(start + seconds(5)).has_value());
}

}  // namespace
}  // namespace io
