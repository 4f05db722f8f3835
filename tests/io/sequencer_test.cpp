#include "io/sequencer.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "io/byte_range.hpp"
#include "io/task_group.hpp"
#include "tests/io/engines.hpp"

namespace io {
namespace {

class SequencerTest : public EngineTest {};
INSTANTIATE_TEST_SUITE_P(Engines, SequencerTest, engines_here(), engine_name);

Task<> go_through(Ring& ring, Sequencer& sequencer, ByteRange range, std::string& log) {
  const bool mine = co_await sequencer.turn(range.offset);
  if (!mine) {
    log += '!';
    co_return;
  }
  (void)co_await ring.nop();  // others must not come in meanwhile
  log += static_cast<char>('a' + range.offset);
  sequencer.pass(range.end());
}

TEST_P(SequencerTest, LetsThroughInOrderOfOffsets) {
  Sequencer sequencer(ring());
  std::string log;
  TaskGroup group(ring());
  const std::vector<ByteRange> pieces = {{4, 2}, {1, 3}, {6, 1}, {0, 1}, {7, 9}};
  for (const ByteRange range : pieces) {
    group.spawn(go_through(ring(), sequencer, range, log));
  }
  group.run();
  EXPECT_EQ(log, "abegh");
  EXPECT_EQ(sequencer.position(), 16U);
}

TEST_P(SequencerTest, EmptyPiecesShareAnOffsetWithTheNextOne) {
  Sequencer sequencer(ring());
  std::string log;
  TaskGroup group(ring());
  const std::vector<ByteRange> pieces = {{2, 0}, {2, 0}, {2, 1}, {0, 2}};
  for (const ByteRange range : pieces) {
    group.spawn(go_through(ring(), sequencer, range, log));
  }
  group.run();
  EXPECT_EQ(log, "accc");
}

TEST_P(SequencerTest, AbandonLetsGoOfAllWhoWaitAndWhoComeLater) {
  Sequencer sequencer(ring());
  std::string log;
  TaskGroup group(ring());
  group.spawn(go_through(ring(), sequencer, {5, 1}, log));
  group.spawn(go_through(ring(), sequencer, {9, 1}, log));
  const auto abandon = [](Ring& r, Sequencer& t) -> Task<> {
    (void)co_await r.nop();
    t.abandon();
  };
  group.spawn(abandon(ring(), sequencer));
  group.run();
  run_task(ring(), go_through(ring(), sequencer, {0, 1}, log));
  EXPECT_EQ(log, "!!!");
}

}  // namespace
}  // namespace io
