#include "io/buffer_pool.hpp"

#include <gtest/gtest.h>

#include "io/task_group.hpp"
#include "io/zero_run.hpp"
#include "tests/io/engines.hpp"
#include "tests/io/pattern.hpp"
#include "tests/io/temporary_folder.hpp"

namespace io {
namespace {

class BufferPoolTest : public EngineTest {};
INSTANTIATE_TEST_SUITE_P(Engines, BufferPoolTest, engines_here(), engine_name);

bool is_aligned(const std::byte* memory) {
  return reinterpret_cast<std::uintptr_t>(memory) % buffer_alignment == 0;
}

TEST(AlignedMemory, IsAlignedRoundedUpAndZero) {
  const AlignedMemory memory(5000);
  EXPECT_EQ(memory.bytes().size(), 8192U);
  EXPECT_TRUE(is_aligned(memory.bytes().data()));
  EXPECT_TRUE(is_zero(memory.bytes()));
  EXPECT_EQ(memory.buffer().index, -1);
}

TEST(AlignedMemory, LargeOnesStartWhereAHugePageMay) {
  for (const std::size_t wanted : {2 * MiB, 2 * MiB + 4096, 32 * MiB}) {
    const AlignedMemory memory(wanted);
    EXPECT_EQ(memory.bytes().size(), wanted);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory.bytes().data()) % (2 * MiB), 0U);
    EXPECT_TRUE(is_zero(memory.bytes()));
    memory.bytes().back() = std::byte{1};
  }
}

TEST(AlignedMemory, MovesWithoutACopy) {
  AlignedMemory first(4096);
  const std::byte* where = first.bytes().data();
  AlignedMemory second(std::move(first));
  EXPECT_EQ(second.bytes().data(), where);
  AlignedMemory third(4096);
  third = std::move(second);
  EXPECT_EQ(third.bytes().data(), where);
}

TEST_P(BufferPoolTest, BuffersAreAlignedAndApart) {
  const BufferPool pool(ring(), 5, 6000);
  ASSERT_EQ(pool.count(), 5U);
  for (unsigned lane = 0; lane < pool.count(); ++lane) {
    const Buffer buffer = pool.at(lane);
    EXPECT_EQ(buffer.bytes.size(), 8192U);
    EXPECT_TRUE(is_aligned(buffer.bytes.data()));
    if (lane > 0) {
      EXPECT_GE(buffer.bytes.data(), pool.at(lane - 1).bytes.data() + 8192);
    }
  }
}

// Registered or not, and also a part of a buffer.
TEST_P(BufferPoolTest, BuffersCarryBytesBothWays) {
  const TemporaryFolder folder;
  const File file = folder.make("file");
  const BufferPool pool(ring(), 2, 8192);
  const auto content = pattern({0, 4096});
  const Buffer source = pool.at(0).subspan(4096, 4096);
  const Buffer target = pool.at(1).first(4096);
  std::copy(content.begin(), content.end(), source.bytes.begin());
  const auto body = [](Ring& r, RingFile f, Buffer from, Buffer to) -> Task<> {
    const std::int64_t written = co_await r.write(f, 512, from);
    EXPECT_EQ(written, 4096);
    const std::int64_t count = co_await r.read(f, 512, to);
    EXPECT_EQ(count, 4096);
  };
  const RingFile remembered{file.fd(), -1};
  run_task(ring(), body(ring(), remembered, source, target));
  EXPECT_TRUE(std::equal(content.begin(), content.end(), target.bytes.begin()));
}

TEST_P(BufferPoolTest, OnePoolAfterAnother) {
  for (int turn = 0; turn < 3; ++turn) {
    const BufferPool pool(ring(), 4, 4096);
    EXPECT_EQ(pool.at(3).bytes.size(), 4096U);
  }
}

// A second pool beside a registered one is not registered, and works.
TEST_P(BufferPoolTest, TwoPoolsAtOnce) {
  const BufferPool first(ring(), 2, 4096);
  const BufferPool second(ring(), 2, 4096);
  EXPECT_EQ(second.at(1).index, -1);
}

}  // namespace
}  // namespace io
