#include "io/rate_limiter.hpp"

#include <thread>

#include <gtest/gtest.h>

#include "io/task_group.hpp"
#include "tests/io/engines.hpp"

namespace io {
namespace {

using std::chrono::milliseconds;

class RateLimiterTest : public EngineTest {
 protected:
  Ring::Clock::duration time_of(RateLimiter& limiter, int pieces, std::uint64_t bytes) {
    const auto body = [](Ring& r, RateLimiter& l, int count, std::uint64_t size,
                         const StopFlag& flag) -> Task<> {
      for (int piece = 0; piece < count; ++piece) co_await l.pace(r, size, flag);
    };
    const auto start = Ring::Clock::now();
    run_task(ring(), body(ring(), limiter, pieces, bytes, stop_));
    return Ring::Clock::now() - start;
  }
  StopFlag stop_{0};
};
INSTANTIATE_TEST_SUITE_P(Engines, RateLimiterTest, engines_here(), engine_name);

TEST_P(RateLimiterTest, HoldsToTheRate) {
  RateLimiter limiter(1'000'000);
  // The first piece starts at once, each of the next three 50 ms after the one before.
  EXPECT_GE(time_of(limiter, 4, 50'000), milliseconds(150));
}

TEST_P(RateLimiterTest, ZeroIsNoLimit) {
  RateLimiter limiter(0);
  EXPECT_LT(time_of(limiter, 1000, std::uint64_t{1} << 40), std::chrono::seconds(1));
}

TEST_P(RateLimiterTest, APauseIsNotSavedUp) {
  RateLimiter limiter(1'000'000);
  time_of(limiter, 1, 50'000);
  std::this_thread::sleep_for(milliseconds(200));
  EXPECT_GE(time_of(limiter, 3, 50'000), milliseconds(100));
}

TEST_P(RateLimiterTest, StopEndsTheWait) {
  RateLimiter limiter(1);
  stop_ = 1;
  EXPECT_LT(time_of(limiter, 2, 1000), std::chrono::seconds(5));
}

}  // namespace
}  // namespace io
