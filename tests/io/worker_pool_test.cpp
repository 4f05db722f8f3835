#include "io/worker_pool.hpp"

#include <atomic>
#include <latch>
#include <stdexcept>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "io/error.hpp"
#include "io/ring.hpp"
#include "io/task.hpp"
#include "io/task_group.hpp"
#include "tests/io/engines.hpp"

namespace io {
namespace {

class WorkerPoolTest : public testing::TestWithParam<Engine> {
 protected:
  void SetUp() override { ring_ = new_ring(); }

  static std::unique_ptr<Ring> new_ring() {
    return make_ring({.engine = GetParam(), .threads = 2}).ring;
  }

  std::unique_ptr<Ring> ring_;
};

struct Threads {
  std::thread::id before, work, after;
};

Task<> note_threads(Ring& ring, WorkerPool& pool, Threads& threads) {
  threads.before = std::this_thread::get_id();
  const std::function<void()> work = [&threads] { threads.work = std::this_thread::get_id(); };
  co_await pool.run(ring, work);
  threads.after = std::this_thread::get_id();
}

TEST_P(WorkerPoolTest, WorksElsewhereAndGoesOnOnTheRingsThread) {
  WorkerPool pool(2);
  Threads threads;
  run_task(*ring_, note_threads(*ring_, pool, threads));
  EXPECT_EQ(threads.before, std::this_thread::get_id());
  EXPECT_EQ(threads.after, threads.before);
  EXPECT_NE(threads.work, threads.before);
}

Task<> run_throwing(Ring& ring, WorkerPool& pool, bool& went_on) {
  const std::function<void()> work = [] { throw std::runtime_error("damaged cluster"); };
  co_await pool.run(ring, work);
  went_on = true;
}

TEST_P(WorkerPoolTest, ThrowsToTheAwaiterAndServesOn) {
  WorkerPool pool(1);
  bool went_on = false;
  EXPECT_THROW(run_task(*ring_, run_throwing(*ring_, pool, went_on)), std::runtime_error);
  EXPECT_FALSE(went_on);
  Threads threads;
  run_task(*ring_, note_threads(*ring_, pool, threads));
  EXPECT_EQ(threads.after, threads.before);
}

Task<> arrive(Ring& ring, WorkerPool& pool, std::latch& latch) {
  const std::function<void()> work = [&latch] { latch.arrive_and_wait(); };
  co_await pool.run(ring, work);
}

TEST_P(WorkerPoolTest, ThreadsWorkAtTheSameTime) {
  constexpr int threads = 3;
  WorkerPool pool(threads);
  std::latch latch(threads);  // each piece ends only when all have begun
  TaskGroup group(*ring_);
  for (int i = 0; i < threads; ++i) group.spawn(arrive(*ring_, pool, latch));
  group.run();
}

Task<> append(Ring& ring, WorkerPool& pool, std::vector<int>& order, int number) {
  const std::function<void()> work = [&order, number] { order.push_back(number); };
  co_await pool.run(ring, work);
}

TEST_P(WorkerPoolTest, OneThreadKeepsTheOrderOfArrival) {
  WorkerPool pool(1);
  std::vector<int> order;
  TaskGroup group(*ring_);
  for (int i = 0; i < 5; ++i) group.spawn(append(*ring_, pool, order, i));
  group.run();
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4}));
}

// A lane of a copy: requests and work in turns. `completed` belongs to the ring's thread.
Task<> lane(Ring& ring, WorkerPool& pool, int pieces, std::atomic<int>& worked, int& completed) {
  const std::function<void()> work = [&worked] { worked.fetch_add(1, std::memory_order_relaxed); };
  for (int i = 0; i < pieces; ++i) {
    (void)co_await ring.nop();
    co_await pool.run(ring, work);
    ++completed;
  }
}

TEST_P(WorkerPoolTest, ManyLanesMixRequestsAndWork) {
  constexpr int lanes = 16;
  constexpr int pieces = 100;
  WorkerPool pool(4);
  std::atomic<int> worked = 0;
  int completed = 0;
  TaskGroup group(*ring_);
  for (int i = 0; i < lanes; ++i) group.spawn(lane(*ring_, pool, pieces, worked, completed));
  group.run();
  EXPECT_EQ(worked, lanes * pieces);
  EXPECT_EQ(completed, lanes * pieces);
}

// The last thing a worker does for a job is to wake the ring, which may end the job and the ring.
TEST_P(WorkerPoolTest, RingMayDieAsSoonAsTheAwaiterEnded) {
  WorkerPool pool(2);
  for (int i = 0; i < 100; ++i) {
    const auto ring = new_ring();
    Threads threads;
    run_task(*ring, note_threads(*ring, pool, threads));
  }
}

INSTANTIATE_TEST_SUITE_P(Engines, WorkerPoolTest, engines_here(), engine_name);

}  // namespace
}  // namespace io
