#include "io/depth_control.hpp"

#include <gtest/gtest.h>

namespace io {
namespace {

using std::chrono::milliseconds;

class DepthControlTest : public testing::Test {
 protected:
  std::unique_ptr<Ring> ring_ = make_ring({}).ring;
};

TEST_F(DepthControlTest, FixedItIsAllLanes) {
  const DepthControl depth(*ring_, 16, false);
  EXPECT_EQ(depth.depth(), 16U);
}

TEST_F(DepthControlTest, RisesWhileRequestsAreFast) {
  DepthControl depth(*ring_, 16, true);
  EXPECT_EQ(depth.depth(), 4U);
  for (int i = 0; i < 100; ++i) depth.completed(milliseconds(5));
  EXPECT_EQ(depth.depth(), 16U);
  depth.completed(milliseconds(500));
  EXPECT_EQ(depth.depth(), 16U);
}

TEST_F(DepthControlTest, FallsToTwoWhereTheyAreSlow) {
  DepthControl depth(*ring_, 16, true);
  for (int i = 0; i < 10; ++i) depth.completed(milliseconds(2000));
  EXPECT_EQ(depth.depth(), 2U);
  DepthControl one(*ring_, 1, true);
  one.completed(milliseconds(2000));
  EXPECT_EQ(one.depth(), 1U);
}

Task<> note(DepthControl& depth, unsigned lane, std::vector<unsigned>& order) {
  co_await depth.admission(lane);
  order.push_back(lane);
}

Task<> finish(Ring& ring, DepthControl& depth) {
  (void)co_await ring.nop();
  depth.finish();
}

TEST_F(DepthControlTest, LanesBeyondItWaitUntilItRisesOrAllIsDone) {
  DepthControl depth(*ring_, 8, true);
  std::vector<unsigned> order;
  TaskGroup tasks(*ring_);
  tasks.spawn(note(depth, 5, order));
  tasks.spawn(note(depth, 0, order));
  tasks.spawn(finish(*ring_, depth));
  tasks.run([] {});
  EXPECT_EQ(order, (std::vector<unsigned>{0, 5}));
}

}  // namespace
}  // namespace io
