#include "io/transfer.hpp"

#include <cerrno>

#include <gtest/gtest.h>

#include "io/buffer_pool.hpp"
#include "io/error.hpp"
#include "io/task_group.hpp"
#include "tests/io/engines.hpp"
#include "tests/io/pattern.hpp"
#include "tests/io/scripted_ring.hpp"
#include "tests/io/temporary_folder.hpp"

namespace io {
namespace {

class TransferTest : public EngineTest {};
INSTANTIATE_TEST_SUITE_P(Engines, TransferTest, engines_here(), engine_name);

const NamedFile somewhere{{7, -1}, "disk.img"};

// Gives the results one after another, and then no more.
class Results {
 public:
  explicit Results(std::vector<std::int64_t> results) : results_(std::move(results)) {}
  std::optional<std::int64_t> operator()(const Request&) { return results_.at(next_++); }

 private:
  std::vector<std::int64_t> results_;
  std::size_t next_ = 0;
};

using Ranges = std::vector<ByteRange>;

Ranges asked_for(const ScriptedRing& ring) {
  Ranges ranges;
  for (const Request& request : ring.requests()) {
    ranges.push_back({request.offset, request.length});
  }
  return ranges;
}

template <class Body>
Error error_of(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "did not throw";
  return {ErrorKind::cancelled, "", ""};
}

TEST_P(TransferTest, WhatIsWrittenIsReadBack) {
  const TemporaryFolder folder;
  const File file = folder.make("file");
  const NamedFile named{{file.fd(), -1}, file.path()};
  const auto content = pattern({0, 100'000});
  const AlignedMemory memory(100'000);
  const Buffer buffer = memory.buffer().first(content.size());
  std::copy(content.begin(), content.end(), buffer.bytes.begin());
  run_task(ring(), write_full(ring(), named, 333, buffer));
  run_task(ring(), flush_file(ring(), named));
  std::fill(buffer.bytes.begin(), buffer.bytes.end(), std::byte{0});
  EXPECT_EQ(run_task(ring(), read_full(ring(), named, 333, buffer)), content.size());
  EXPECT_TRUE(std::equal(content.begin(), content.end(), buffer.bytes.begin()));
}

TEST_P(TransferTest, AFileThatEndsGivesWhatItHas) {
  const TemporaryFolder folder;
  const AlignedMemory memory(8192);
  for (const std::size_t size : {0U, 1U, 511U, 512U, 4095U, 4096U}) {
    const File file = folder.make(std::to_string(size), pattern({0, size}));
    const NamedFile named{{file.fd(), -1}, file.path()};
    EXPECT_EQ(run_task(ring(), read_full(ring(), named, 0, memory.buffer())), size);
    EXPECT_EQ(run_task(ring(), read_full(ring(), named, size + 512, memory.buffer())), 0U);
  }
}

TEST(Transfer, ReadGoesOnAfterAShortCount) {
  ScriptedRing ring(Results({1024, 512, 2560}));
  const AlignedMemory memory(4096);
  EXPECT_EQ(run_task(ring, read_full(ring, somewhere, 8192, memory.buffer())), 4096U);
  EXPECT_EQ(asked_for(ring), (Ranges{{8192, 4096}, {9216, 3072}, {9728, 2560}}));
  EXPECT_EQ(ring.requests().back().data, memory.bytes().data() + 1536);
}

TEST(Transfer, ReadEndsInsideASectorOrAtNothing) {
  const AlignedMemory memory(4096);
  ScriptedRing odd(Results({1024, 100}));
  EXPECT_EQ(run_task(odd, read_full(odd, somewhere, 0, memory.buffer())), 1124U);
  ScriptedRing even(Results({1024, 0}));
  EXPECT_EQ(run_task(even, read_full(even, somewhere, 0, memory.buffer())), 1024U);
}

TEST(Transfer, InterruptedIsTriedAgain) {
  const AlignedMemory memory(4096);
  ScriptedRing reads(Results({-EINTR, -EAGAIN, 2048, -EINTR, 2048}));
  EXPECT_EQ(run_task(reads, read_full(reads, somewhere, 0, memory.buffer())), 4096U);
  ScriptedRing writes(Results({-EAGAIN, 4096}));
  run_task(writes, write_full(writes, somewhere, 0, memory.buffer()));
  EXPECT_EQ(asked_for(writes), (Ranges{{0, 4096}, {0, 4096}}));
  ScriptedRing flushes(Results({-EINTR, 0}));
  run_task(flushes, flush_file(flushes, somewhere));
  EXPECT_EQ(flushes.requests().size(), 2U);
}

TEST(Transfer, WriteGoesOnAfterAShortCount) {
  ScriptedRing ring(Results({100, 3996}));
  const AlignedMemory memory(4096);
  run_task(ring, write_full(ring, somewhere, 4096, memory.buffer()));
  EXPECT_EQ(asked_for(ring), (Ranges{{4096, 4096}, {4196, 3996}}));
}

TEST(Transfer, AnErrorNamesTheRangeThatIsMissing) {
  const AlignedMemory memory(4096);
  ScriptedRing reads(Results({1024, -EIO}));
  const Error read =
      error_of([&] { run_task(reads, read_full(reads, somewhere, 8192, memory.buffer())); });
  EXPECT_EQ(read.error_number(), EIO);
  EXPECT_EQ(read.range(), (ByteRange{9216, 3072}));
  EXPECT_EQ(read.path(), "disk.img");

  ScriptedRing writes(Results({-ENOSPC}));
  const Error write =
      error_of([&] { run_task(writes, write_full(writes, somewhere, 0, memory.buffer())); });
  EXPECT_EQ(write.error_number(), ENOSPC);
  EXPECT_EQ(write.range(), (ByteRange{0, 4096}));

  ScriptedRing flushes(Results({-EIO}));
  const Error flush = error_of([&] { run_task(flushes, flush_file(flushes, somewhere)); });
  EXPECT_EQ(flush.error_number(), EIO);
}

TEST(Transfer, AWriteOfNothingIsADeviceThatEndsThere) {
  const AlignedMemory memory(4096);
  ScriptedRing ring(Results({2048, 0}));
  const Error error =
      error_of([&] { run_task(ring, write_full(ring, somewhere, 0, memory.buffer())); });
  EXPECT_EQ(error.error_number(), ENOSPC);
  EXPECT_EQ(error.range(), (ByteRange{2048, 2048}));
}

}  // namespace
}  // namespace io
