#include "io/ring.hpp"

#include <cerrno>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "io/buffer_pool.hpp"
#include "io/task_group.hpp"
#include "io/uring_ring.hpp"
#include "tests/io/engines.hpp"
#include "tests/io/pattern.hpp"
#include "tests/io/temporary_folder.hpp"

namespace io {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;

class RingTest : public EngineTest {};
INSTANTIATE_TEST_SUITE_P(Engines, RingTest, engines_here(), engine_name);

struct Pipe {
  Pipe() {
    int ends[2];
    if (pipe(ends) != 0) throw std::runtime_error("pipe");
    reader = FileDescriptor(ends[0]);
    writer = FileDescriptor(ends[1]);
  }
  FileDescriptor reader;
  FileDescriptor writer;
};

Task<std::int64_t> result_of(Operation& operation) { co_return co_await operation; }

std::int64_t await_now(Ring& ring, Operation operation) {
  return run_task(ring, result_of(operation));
}

Task<> sleep_then_note(Ring& ring, Ring::Clock::time_point when, std::vector<int>& log, int name) {
  co_await ring.sleep_until(when);
  EXPECT_GE(Ring::Clock::now(), when);
  log.push_back(name);
}

TEST_P(RingTest, WritesReadsAndCounts) {
  const TemporaryFolder folder;
  const File file = folder.make("file");
  const RingFile remembered = ring().remember(file.fd());
  const auto content = pattern({0, 8192});
  AlignedMemory memory(8192);
  std::copy(content.begin(), content.end(), memory.bytes().begin());

  EXPECT_EQ(await_now(ring(), ring().write(remembered, 100, memory.buffer())), 8192);
  EXPECT_EQ(await_now(ring(), ring().flush(remembered)), 0);
  std::fill(memory.bytes().begin(), memory.bytes().end(), std::byte{0});
  EXPECT_EQ(await_now(ring(), ring().read(remembered, 100, memory.buffer())), 8192);
  EXPECT_TRUE(std::equal(content.begin(), content.end(), memory.bytes().begin()));
  // The file ends: a short count, then 0.
  EXPECT_EQ(await_now(ring(), ring().read(remembered, 8200, memory.buffer())), 92);
  EXPECT_EQ(await_now(ring(), ring().read(remembered, 9000, memory.buffer())), 0);
  ring().forget(remembered);
}

TEST_P(RingTest, AResultIsTheKernelsErrno) {
  const TemporaryFolder folder;
  const AlignedMemory memory(4096);
  const RingFile nothing{-1, -1};
  EXPECT_EQ(await_now(ring(), ring().read(nothing, 0, memory.buffer())), -EBADF);
  const File directory(folder.path("."), O_RDONLY);
  const RingFile file = ring().remember(directory.fd());
  EXPECT_EQ(await_now(ring(), ring().read(file, 0, memory.buffer())), -EISDIR);
  ring().forget(file);
}

TEST_P(RingTest, RemembersMoreFilesThanItHasPlacesFor) {
  const TemporaryFolder folder;
  const auto content = pattern({0, 512});
  const File file = folder.make("file", content);
  const AlignedMemory memory(512);
  std::vector<RingFile> remembered;
  for (int count = 0; count < 70; ++count) remembered.push_back(ring().remember(file.fd()));
  for (const RingFile& each : remembered) {
    EXPECT_EQ(await_now(ring(), ring().read(each, 0, memory.buffer().first(512))), 512);
    ring().forget(each);
  }
  const RingFile again = ring().remember(file.fd());
  EXPECT_EQ(await_now(ring(), ring().read(again, 0, memory.buffer().first(512))), 512);
  ring().forget(again);
}

TEST_P(RingTest, ManyMoreRequestsThanEntries) {
  const auto small = make(4, 2);
  const TemporaryFolder folder;
  const auto content = pattern({0, 500 * 512});
  const File file = folder.make("file", content);
  const RingFile remembered{file.fd(), -1};
  const auto read_block = [](Ring& r, RingFile f, std::uint64_t offset) -> Task<> {
    const AlignedMemory memory(512);
    const Buffer buffer = memory.buffer().first(512);
    for (int turn = 0; turn < 3; ++turn) {
      const std::int64_t count = co_await r.read(f, offset, buffer);
      EXPECT_EQ(count, 512);
      EXPECT_EQ(buffer.bytes[7], pattern_at(offset + 7));
    }
  };
  TaskGroup group(*small);
  for (std::uint64_t block = 0; block < 500; ++block) {
    group.spawn(read_block(*small, remembered, block * 512));
  }
  group.run();
}

TEST_P(RingTest, SleepersWakeInTheOrderOfTheirTimes) {
  std::vector<int> log;
  const auto start = Ring::Clock::now();
  TaskGroup group(ring());
  group.spawn(sleep_then_note(ring(), start + milliseconds(90), log, 3));
  group.spawn(sleep_then_note(ring(), start + milliseconds(30), log, 1));
  group.spawn(sleep_then_note(ring(), start + milliseconds(60), log, 2));
  group.spawn(sleep_then_note(ring(), start - milliseconds(1), log, 0));
  group.run();
  EXPECT_THAT(log, ElementsAre(0, 1, 2, 3));
}

TEST_P(RingTest, ASleeperDoesNotKeepRequestsWaiting) {
  std::vector<int> log;
  const auto body = [](Ring& r, std::vector<int>& out) -> Task<> {
    for (int count = 0; count < 100; ++count) (void)co_await r.nop();
    out.push_back(1);
  };
  TaskGroup group(ring());
  group.spawn(sleep_then_note(ring(), Ring::Clock::now() + milliseconds(300), log, 2));
  group.spawn(body(ring(), log));
  group.run();
  EXPECT_THAT(log, ElementsAre(1, 2));
}

// Stops until another thread posts it.
struct PostedBy {
  Ring& ring;
  std::thread& thread;
  [[nodiscard]] bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> awaiting) {
    thread = std::thread([this, awaiting] {
      std::this_thread::sleep_for(milliseconds(20));
      ring.post(awaiting);
    });
  }
  void await_resume() const noexcept {}
};

TEST_P(RingTest, PostFromAThreadWakesTheRingAtOnce) {
  const auto me = std::this_thread::get_id();
  const auto body = [](Ring& r, std::thread::id ring_thread) -> Task<> {
    for (int turn = 0; turn < 5; ++turn) {
      std::thread thread;
      PostedBy posted{r, thread};
      co_await posted;
      EXPECT_EQ(std::this_thread::get_id(), ring_thread);
      thread.join();
    }
  };
  // run_once() with a limit that would show if it was not woken.
  TaskGroup group(ring());
  bool done = false;
  const auto all = [](Task<> task, bool& flag) -> Task<> {
    co_await task;
    flag = true;
  };
  group.spawn(all(body(ring(), me), done));
  const auto start = Ring::Clock::now();
  while (!done) ring().run_once(std::chrono::seconds(20));
  EXPECT_LT(Ring::Clock::now() - start, std::chrono::seconds(15));
}

TEST_P(RingTest, AwaitReadableSaysWhenAndGivesUpInTime) {
  const Pipe pipe;
  const auto start = Ring::Clock::now();
  EXPECT_EQ(await_now(ring(), ring().await_readable(pipe.reader.get(), milliseconds(60))), -ETIME);
  EXPECT_GE(Ring::Clock::now() - start, milliseconds(60));

  ASSERT_EQ(write(pipe.writer.get(), "x", 1), 1);
  EXPECT_GT(await_now(ring(), ring().await_readable(pipe.reader.get(), milliseconds(5000))), 0);
  // A closed pipe is readable: its end can be read.
  Pipe closed;
  closed.writer = FileDescriptor();
  EXPECT_GT(await_now(ring(), ring().await_readable(closed.reader.get(), milliseconds(5000))), 0);
}

TEST_P(RingTest, AwaitWritableWaitsForRoom) {
  const Pipe pipe;
  EXPECT_GT(await_now(ring(), ring().await_writable(pipe.writer.get(), milliseconds(5000))), 0);
  ASSERT_EQ(fcntl(pipe.writer.get(), F_SETFL, O_NONBLOCK), 0);
  const std::vector<std::byte> filling(4096);
  while (write(pipe.writer.get(), filling.data(), filling.size()) > 0) continue;
  EXPECT_EQ(await_now(ring(), ring().await_writable(pipe.writer.get(), milliseconds(30))), -ETIME);
}

TEST_P(RingTest, PatienceIsEachRequestsOwn) {
  const Pipe pipe;
  const auto wait = [](Ring& r, int fd, milliseconds patience, std::vector<int>& log) -> Task<> {
    const std::int64_t result = co_await r.await_readable(fd, patience);
    EXPECT_EQ(result, -ETIME);
    log.push_back(static_cast<int>(patience.count()));
  };
  std::vector<int> log;
  TaskGroup group(ring());
  group.spawn(wait(ring(), pipe.reader.get(), milliseconds(200), log));
  group.spawn(wait(ring(), pipe.reader.get(), milliseconds(40), log));
  group.run();
  EXPECT_THAT(log, ElementsAre(40, 200));
}

TEST_P(RingTest, ReadsWithoutAnOffsetFollowTheStream) {
  const Pipe pipe;
  ASSERT_EQ(write(pipe.writer.get(), "abcdef", 6), 6);
  const AlignedMemory memory(4096);
  const RingFile file{pipe.reader.get(), -1};
  const Buffer four = memory.buffer().first(4);
  EXPECT_EQ(await_now(ring(), ring().read(file, Request::no_offset, four)), 4);
  EXPECT_EQ(memory.bytes()[0], std::byte{'a'});
  EXPECT_EQ(await_now(ring(), ring().read(file, Request::no_offset, four)), 2);
  EXPECT_EQ(memory.bytes()[0], std::byte{'e'});
}

TEST(Ring, TheEngineThatWasAskedForIsMade) {
  RingOptions options;
  options.engine = Engine::threads;
  const MadeRing threads = make_ring(options);
  EXPECT_STREQ(threads.ring->engine(), "threads");
  EXPECT_TRUE(threads.note.empty());

  const MadeRing automatic = make_ring({});
  const bool uring = std::string(automatic.ring->engine()) == "io_uring";
  EXPECT_EQ(automatic.note.empty(), uring || !uring_is_built) << automatic.note;
}

}  // namespace
}  // namespace io
