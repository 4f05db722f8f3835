#include <cerrno>
#include <csignal>
#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "io/buffer_pool.hpp"
#include "io/error.hpp"
#include "io/pipe_source.hpp"
#include "io/pipe_target.hpp"
#include "tests/io/engines.hpp"
#include "tests/io/pattern.hpp"
#include "tests/io/scripted_ring.hpp"

namespace io {
namespace {

using std::chrono::milliseconds;

class PipeTest : public EngineTest {
 protected:
  PipeTest() {
    signal(SIGPIPE, SIG_IGN);  // as the program does
    int ends[2];
    if (pipe(ends) != 0) throw std::runtime_error("pipe");
    reader_ = std::make_unique<File>(FileDescriptor(ends[0]), "standard input");
    writer_ = std::make_unique<File>(FileDescriptor(ends[1]), "standard output");
  }

  // The other program: writes in pieces of odd sizes, then closes.
  std::thread feed(std::vector<std::byte> content, milliseconds pause = milliseconds(0)) {
    return std::thread([this, content = std::move(content), pause] {
      std::size_t piece = 1;
      for (std::size_t at = 0; at < content.size(); piece = piece * 3 % 70'001 + 1) {
        const std::size_t length = std::min(piece, content.size() - at);
        const ssize_t count = write(writer_->fd(), &content[at], length);
        if (count <= 0) break;
        at += static_cast<std::size_t>(count);
        std::this_thread::sleep_for(pause);
      }
      writer_.reset();
    });
  }
  // The other program: reads all that comes.
  std::thread drain(std::vector<std::byte>& content) {
    return std::thread([this, &content] {
      std::vector<std::byte> piece(10'000);
      for (ssize_t count = 1; count > 0;) {
        count = read(reader_->fd(), piece.data(), piece.size());
        if (count > 0) content.insert(content.end(), piece.begin(), piece.begin() + count);
      }
    });
  }

  std::unique_ptr<File> reader_;
  std::unique_ptr<File> writer_;
  StopFlag stop_{0};
};
INSTANTIATE_TEST_SUITE_P(Engines, PipeTest, engines_here(), engine_name);

Task<> read_into(PipeSource& source, ByteRange range, Buffer buffer, std::size_t& count) {
  count = co_await source.read(range, buffer);
}

TEST_P(PipeTest, ReadsThatAreAwaitedSideBySideComeInOrder) {
  const auto content = pattern({0, 250'000});
  PipeSource source(ring(), *reader_, stop_);
  EXPECT_FALSE(source.seekable());
  EXPECT_FALSE(source.size().has_value());
  std::thread other = feed(content);

  constexpr std::uint64_t chunk = 65'536;
  std::vector<AlignedMemory> buffers;
  std::vector<std::size_t> counts(6);
  TaskGroup group(ring());
  for (std::size_t lane = 0; lane < counts.size(); ++lane) {
    buffers.emplace_back(chunk);
    const ByteRange range{lane * chunk, chunk};
    group.spawn(read_into(source, range, buffers[lane].buffer(), counts[lane]));
  }
  group.run();
  other.join();
  EXPECT_EQ(counts, (std::vector<std::size_t>{chunk, chunk, chunk, 250'000 - 3 * chunk, 0, 0}));
  EXPECT_EQ(source.size(), 250'000U);
  for (std::size_t lane = 0; lane < counts.size(); ++lane) {
    const auto begin = content.begin() +
                       static_cast<std::ptrdiff_t>(std::min(lane * chunk, std::uint64_t{250'000}));
    EXPECT_TRUE(std::equal(begin, begin + static_cast<std::ptrdiff_t>(counts[lane]),
                           buffers[lane].bytes().begin()))
        << lane;
  }
}

TEST_P(PipeTest, AnEmptyStreamEndsAtOnce) {
  PipeSource source(ring(), *reader_, stop_);
  writer_.reset();
  const AlignedMemory memory(4096);
  EXPECT_EQ(run_task(ring(), source.read({0, 4096}, memory.buffer())), 0U);
  EXPECT_EQ(source.size(), 0U);
}

TEST_P(PipeTest, AStreamThatEndsAtAChunksEnd) {
  PipeSource source(ring(), *reader_, stop_);
  std::thread other = feed(pattern({0, 4096}));
  const AlignedMemory memory(4096);
  EXPECT_EQ(run_task(ring(), source.read({0, 4096}, memory.buffer())), 4096U);
  EXPECT_FALSE(source.size().has_value());
  EXPECT_EQ(run_task(ring(), source.read({4096, 4096}, memory.buffer())), 0U);
  EXPECT_EQ(source.size(), 4096U);
  other.join();
}

TEST_P(PipeTest, StopEndsTheWaitForTheOtherSide) {
  PipeSource source(ring(), *reader_, stop_);
  const AlignedMemory memory(4096);
  std::thread other([this] {
    std::this_thread::sleep_for(milliseconds(50));
    stop_ = 1;
  });
  EXPECT_EQ(run_task(ring(), source.read({0, 4096}, memory.buffer())), 0U);
  other.join();
}

TEST_P(PipeTest, AReadErrorReachesAllWhoWait) {
  File wrong(FileDescriptor(open("/", O_RDONLY | O_CLOEXEC)), "a folder");
  PipeSource source(ring(), wrong, stop_);
  const AlignedMemory memory(8192);
  std::size_t first = 7;
  std::size_t second = 7;
  TaskGroup group(ring());
  group.spawn(read_into(source, {4096, 4096}, memory.buffer().subspan(4096, 4096), second));
  group.spawn(read_into(source, {0, 4096}, memory.buffer().first(4096), first));
  EXPECT_THROW(group.run(), Error);
  EXPECT_EQ(second, 0U);
}

Task<> write_range(PipeTarget& target, Buffer buffer, ByteRange range) {
  co_await target.write(range.offset, buffer.subspan(range.offset, range.length));
}

TEST_P(PipeTest, WritesThatAreAwaitedSideBySideGoOutInOrder) {
  const auto content = pattern({0, 300'000});
  const AlignedMemory memory(content.size());
  std::copy(content.begin(), content.end(), memory.bytes().begin());
  std::vector<std::byte> received;
  std::thread other = drain(received);
  {
    PipeTarget target(ring(), *writer_, stop_);
    TaskGroup group(ring());
    group.spawn(write_range(target, memory.buffer(), {200'000, 100'000}));
    group.spawn(target.zero({100'000, 100'000}));
    group.spawn(write_range(target, memory.buffer(), {0, 100'000}));
    group.run();
    run_task(ring(), target.flush());
  }
  writer_.reset();
  other.join();
  auto expected = content;
  std::fill_n(expected.begin() + 100'000, 100'000, std::byte{0});
  EXPECT_EQ(received, expected);
}

TEST_P(PipeTest, AReaderThatWentAwayIsAnErrorForAll) {
  reader_.reset();
  PipeTarget target(ring(), *writer_, stop_);
  const AlignedMemory memory(8192);
  const auto expect_error = [](Task<> task, int& errors) -> Task<> {
    try {
      co_await task;
    } catch (const Error&) {
      ++errors;
    }
  };
  int errors = 0;
  TaskGroup group(ring());
  group.spawn(expect_error(write_range(target, memory.buffer(), {4096, 4096}), errors));
  group.spawn(expect_error(write_range(target, memory.buffer(), {0, 4096}), errors));
  group.run();
  EXPECT_EQ(errors, 2);
}

TEST_P(PipeTest, ANonBlockingPipeIsWaitedForAndNotAskedAgainAndAgain) {
  bool full = true;
  ScriptedRing scripted([&full](const Request& request) -> std::optional<std::int64_t> {
    if (request.kind == Request::Kind::await_writable) return 1;
    return std::exchange(full, false) ? -EAGAIN : static_cast<std::int64_t>(request.length);
  });
  PipeTarget target(scripted, *writer_, stop_);
  const AlignedMemory memory(4096);
  run_task(scripted, target.write(0, memory.buffer()));
  ASSERT_EQ(scripted.requests().size(), 4U);
  EXPECT_EQ(scripted.requests()[2].kind, Request::Kind::await_writable);
}

TEST_P(PipeTest, AbandonLetsGoOfThoseWhoWait) {
  PipeTarget target(ring(), *writer_, stop_);
  const AlignedMemory memory(8192);
  const auto abandon = [](Ring& r, PipeTarget& t) -> Task<> {
    (void)co_await r.nop();
    t.abandon();
  };
  TaskGroup group(ring());
  group.spawn(write_range(target, memory.buffer(), {4096, 4096}));
  group.spawn(abandon(ring(), target));
  EXPECT_THROW(group.run(), Error);
}

}  // namespace
}  // namespace io
