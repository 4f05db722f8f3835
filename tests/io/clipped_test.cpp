// A disk that is shorter than what is written to it, and how it is read back.
#include <gtest/gtest.h>

#include "io/buffer_pool.hpp"
#include "io/clipped_target.hpp"
#include "io/spliced_source.hpp"
#include "io/task_group.hpp"
#include "tests/io/engines.hpp"
#include "tests/io/pattern.hpp"
#include "tests/io/pattern_source.hpp"
#include "tests/io/recording_target.hpp"

namespace io {
namespace {

class ClippedTest : public EngineTest {};
INSTANTIATE_TEST_SUITE_P(Engines, ClippedTest, engines_here(), engine_name);

TEST_P(ClippedTest, WhatDoesNotFitIsDropped) {
  RecordingTarget disk(ring(), 10'000);
  ClippedTarget target(disk, 50'000);
  EXPECT_EQ(target.capacity(), 50'000U);
  const AlignedMemory memory(8192);
  for (const std::uint64_t offset : {0U, 8192U, 16'384U}) {
    run_task(ring(), target.write(offset, memory.buffer()));
  }
  run_task(ring(), target.zero({9'000, 41'000}));
  run_task(ring(), target.zero({10'000, 40'000}));
  run_task(ring(), target.flush());
  using What = Done::What;
  EXPECT_EQ(disk.log(), (std::vector<Done>{{What::write, {0, 8192}},
                                           {What::write, {8192, 1808}},
                                           {What::zero, {9'000, 1'000}},
                                           {What::flush, {}}}));
}

TEST_P(ClippedTest, ASpliceIsOneSourceAndThenTheOther) {
  auto front = std::make_unique<PatternSource>(ring(), 10'000);
  PatternSource back(ring(), 50'000);
  back.store_zeros({0, 50'000});
  const std::vector<std::byte> expected = [&] {
    auto bytes = front->content();
    bytes.resize(50'000);
    return bytes;
  }();
  SplicedSource source(std::move(front), 10'000, back);
  EXPECT_EQ(source.size(), 50'000U);
  EXPECT_EQ(source.extent_at(9'000).range, (ByteRange{9'000, 1'000}));
  EXPECT_EQ(source.extent_at(10'000).range, (ByteRange{10'000, 40'000}));
  for (const ByteRange range : {ByteRange{0, 10'000}, ByteRange{5'000, 20'000}, ByteRange{9'999, 2},
                                ByteRange{10'000, 40'000}}) {
    const AlignedMemory memory(range.length);
    EXPECT_EQ(run_task(ring(), source.read(range, memory.buffer())), range.length);
    const auto at = expected.begin() + static_cast<std::ptrdiff_t>(range.offset);
    EXPECT_TRUE(
        std::equal(at, at + static_cast<std::ptrdiff_t>(range.length), memory.bytes().begin()))
        << range.offset;
  }
}

}  // namespace
}  // namespace io
