#include "io/lag_watch.hpp"

#include <gtest/gtest.h>

namespace io {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Ring::Clock::time_point start{};

TEST(LagWatch, TellsTheOneThatTookMoreThanHalfOfAllLanesTime) {
  LagWatch watch(3, 4, start);
  watch.waited_for(0, seconds(1));
  watch.waited_for(2, milliseconds(4001));  // of 4 lanes x 2 s
  EXPECT_EQ(watch.laggard(start + seconds(2)), std::optional<std::size_t>(2));
}

TEST(LagWatch, SaysNothingBeforeThePeriodIsOver) {
  LagWatch watch(2, 4, start);
  watch.waited_for(1, seconds(7));
  EXPECT_FALSE(watch.laggard(start + milliseconds(1999)).has_value());
  EXPECT_TRUE(watch.laggard(start + seconds(2)).has_value());
}

TEST(LagWatch, HalfIsNotEnough) {
  LagWatch watch(2, 4, start);
  watch.waited_for(1, seconds(4));
  EXPECT_FALSE(watch.laggard(start + seconds(2)).has_value());
}

TEST(LagWatch, EveryPeriodStartsAnew) {
  LagWatch watch(2, 4, start);
  watch.waited_for(1, seconds(3));
  EXPECT_FALSE(watch.laggard(start + seconds(2)).has_value());
  watch.waited_for(1, seconds(3));
  EXPECT_FALSE(watch.laggard(start + seconds(4)).has_value());
}

TEST(LagWatch, WithoutTargetsThereIsNone) {
  LagWatch watch(0, 4, start);
  EXPECT_FALSE(watch.laggard(start + seconds(5)).has_value());
}

}  // namespace
}  // namespace io
