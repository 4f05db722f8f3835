#include "io/task.hpp"

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/task_group.hpp"
#include "tests/io/engines.hpp"

namespace io {
namespace {

using testing::ElementsAre;

class TaskTest : public EngineTest {};
INSTANTIATE_TEST_SUITE_P(Engines, TaskTest, engines_here(), engine_name);

using Log = std::vector<std::string>;

// Says when it dies.
class Witness {
 public:
  Witness(Log& log, std::string name) : log_(&log), name_(std::move(name)) {}
  Witness(Witness&& other) noexcept
      : log_(std::exchange(other.log_, nullptr)), name_(std::move(other.name_)) {}
  Witness& operator=(Witness&&) = delete;
  ~Witness() {
    if (log_ != nullptr) log_->push_back("~" + name_);
  }

 private:
  Log* log_;
  std::string name_;
};

Task<int> give(Ring& ring, int value) {
  (void)co_await ring.nop();
  co_return value;
}

Task<> note(Ring& ring, Log& log, std::string text) {
  log.push_back(text + " begins");
  (void)co_await ring.nop();
  log.push_back(text + " ends");
}

Task<int> fail_after(Ring& ring, int nops, std::string why) {
  for (int count = 0; count < nops; ++count) (void)co_await ring.nop();
  throw std::runtime_error(why);
}

Task<> fail_in(Ring& ring, int nops, std::string why) { co_await fail_after(ring, nops, why); }

Task<> with_locals(Ring& ring, Log& log, Witness) {
  const Witness first(log, "first");
  const Witness second(log, "second");
  (void)co_await ring.nop();
}

TEST_P(TaskTest, GivesItsValueThroughLevels) {
  const auto sum = [](Ring& r) -> Task<int> {
    const int one = co_await give(r, 1);
    const int two = co_await give(r, 2);
    co_return one + two;
  };
  EXPECT_EQ(run_task(ring(), sum(ring())), 3);
}

TEST_P(TaskTest, MovesAValueThatCannotBeCopied) {
  const auto make = [](Ring& r) -> Task<std::unique_ptr<int>> {
    (void)co_await r.nop();
    co_return std::make_unique<int>(7);
  };
  EXPECT_EQ(*run_task(ring(), make(ring())), 7);
}

TEST_P(TaskTest, StartsWhenItIsAwaitedAndNotBefore) {
  Log log;
  const auto body = [](Ring& r, Log& out) -> Task<> {
    Task<> inner = note(r, out, "inner");
    out.emplace_back("made");
    co_await inner;
  };
  run_task(ring(), body(ring(), log));
  EXPECT_THAT(log, ElementsAre("made", "inner begins", "inner ends"));
}

TEST_P(TaskTest, AnExceptionReachesTheAwaiter) {
  const auto catching = [](Ring& r) -> Task<std::string> {
    std::string caught;
    try {
      co_await fail_in(r, 3, "lost");
    } catch (const std::runtime_error& error) {
      caught = error.what();
    }
    (void)co_await r.nop();  // and it can go on
    co_return caught;
  };
  EXPECT_EQ(run_task(ring(), catching(ring())), "lost");
  EXPECT_THROW(run_task(ring(), fail_in(ring(), 0, "at once")), std::runtime_error);
  EXPECT_THROW(run_task(ring(), fail_after(ring(), 1, "later")), std::runtime_error);
}

// Also what g++ 12 gets wrong in other forms: see style.md.
TEST_P(TaskTest, LocalsDieInReverseBeforeTheAwaiterGoesOn) {
  Log log;
  const auto outer = [](Ring& r, Log& out) -> Task<> {
    Witness argument(out, "argument");
    Task<> task = with_locals(r, out, std::move(argument));
    co_await task;
    out.emplace_back("awaited");
  };
  run_task(ring(), outer(ring(), log));
  EXPECT_THAT(log, ElementsAre("~second", "~first", "awaited", "~argument"));
}

TEST_P(TaskTest, LocalsDieWhenAnExceptionPasses) {
  Log log;
  const auto inner = [](Ring& r, Log& out) -> Task<> {
    const Witness local(out, "local");
    co_await fail_in(r, 1, "lost");
    out.emplace_back("not reached");
  };
  EXPECT_THROW(run_task(ring(), inner(ring(), log)), std::runtime_error);
  EXPECT_THAT(log, ElementsAre("~local"));
}

TEST(Task, OneThatNeverStartedLetsGoOfItsArguments) {
  Log log;
  const auto inner = [](Witness) -> Task<> { co_return; };
  {
    Witness argument(log, "argument");
    const Task<> task = inner(std::move(argument));
    EXPECT_TRUE(log.empty());
  }
  EXPECT_THAT(log, ElementsAre("~argument"));
}

// A stack that grew with every await would be gone long before.
TEST_P(TaskTest, TwoHundredThousandAwaitsInOneLoop) {
  const auto body = [](Ring& r) -> Task<int> {
    int sum = 0;
    for (int count = 0; count < 200'000; ++count) {
      const std::int64_t result = co_await r.nop();
      sum += result == 0 ? 1 : 0;
    }
    co_return sum;
  };
  EXPECT_EQ(run_task(ring(), body(ring())), 200'000);
}

TEST_P(TaskTest, AGroupRunsItsTasksSideBySide) {
  Log log;
  TaskGroup group(ring());
  group.spawn(note(ring(), log, "a"));
  group.spawn(note(ring(), log, "b"));
  EXPECT_THAT(log, ElementsAre("a begins", "b begins"));
  group.run();
  EXPECT_THAT(log, testing::UnorderedElementsAre("a begins", "b begins", "a ends", "b ends"));
}

TEST_P(TaskTest, AGroupEndsAllTasksBeforeItThrowsTheFirstError) {
  Log log;
  TaskGroup group(ring());
  group.spawn(fail_in(ring(), 0, "first"));
  group.spawn(fail_in(ring(), 50, "second"));
  group.spawn(note(ring(), log, "other"));
  try {
    group.run();
    ADD_FAILURE() << "did not throw";
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "first");
  }
  EXPECT_THAT(log, ElementsAre("other begins", "other ends"));
  group.run();  // the error was given once
}

TEST_P(TaskTest, JoinWaitsInsideACoroutine) {
  Log log;
  const auto body = [](Ring& r, Log& out) -> Task<> {
    TaskGroup group(r);
    group.spawn(note(r, out, "a"));
    group.spawn(fail_in(r, 9, "lost"));
    try {
      co_await group.join();
    } catch (const std::runtime_error& error) {
      out.emplace_back(error.what());
    }
    co_await group.join();  // nothing left: goes on at once
    out.emplace_back("joined");
  };
  run_task(ring(), body(ring(), log));
  EXPECT_THAT(log, ElementsAre("a begins", "a ends", "lost", "joined"));
}

TEST_P(TaskTest, TicksWhileNothingHappens) {
  unsigned ticks = 0;
  const auto body = [](Ring& r) -> Task<> {
    co_await r.sleep_until(Ring::Clock::now() + std::chrono::milliseconds(350));
  };
  run_task(ring(), body(ring()), [&ticks] { ++ticks; });
  EXPECT_GE(ticks, 2U);
  EXPECT_LE(ticks, 4U);
}

TEST_P(TaskTest, WaitersGoOnInTheOrderTheyCame) {
  Log log;
  WaitList list(ring());
  bool open = false;
  const auto waiter = [](WaitList& l, bool& condition, Log& out, std::string name) -> Task<> {
    while (!condition) co_await l.wait();
    out.push_back(name);
  };
  const auto opener = [](Ring& r, WaitList& l, bool& condition, Log& out) -> Task<> {
    (void)co_await r.nop();
    l.wake_all();  // too early: they look, and wait again
    (void)co_await r.nop();
    (void)co_await r.nop();
    condition = true;
    l.wake_all();
    out.emplace_back("opened");
  };
  TaskGroup group(ring());
  for (const auto* name : {"a", "b", "c"}) group.spawn(waiter(list, open, log, name));
  group.spawn(opener(ring(), list, open, log));
  group.run();
  EXPECT_THAT(log, ElementsAre("opened", "a", "b", "c"));
}

}  // namespace
}  // namespace io
