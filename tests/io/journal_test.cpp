#include "io/journal.hpp"

#include <gtest/gtest.h>

namespace io {
namespace {

using Ranges = std::vector<ByteRange>;

void flush(Journal& journal) {
  journal.checkpoint_begin();
  journal.checkpoint_commit();
}

TEST(Journal, CompletedIsNotDoneBeforeACheckpoint) {
  Journal journal(100);
  journal.completed({0, 40});
  EXPECT_EQ(journal.untried(), (Ranges{{40, 60}}));
  EXPECT_EQ(journal.states(), RangeMap<BlockState>(100, BlockState::untried));

  flush(journal);
  EXPECT_EQ(journal.states().total(BlockState::done), 40U);
}

TEST(Journal, WhatCompletesDuringTheFlushWaitsForTheNext) {
  Journal journal(100);
  journal.completed({0, 10});
  journal.checkpoint_begin();
  journal.completed({10, 10});
  journal.checkpoint_commit();
  EXPECT_EQ(journal.states().at(0).range, (ByteRange{0, 10}));
  EXPECT_EQ(journal.states().at(10).value, BlockState::untried);

  flush(journal);
  EXPECT_EQ(journal.states().at(0).range, (ByteRange{0, 20}));
}

TEST(Journal, WhatIsWrittenAgainDuringTheFlushIsNotDoneByIt) {
  Journal journal(100);
  journal.completed({0, 100});
  journal.checkpoint_begin();
  journal.completed({20, 10});
  journal.mark_bad({50, 1});
  journal.mark_untried({60, 1});
  journal.checkpoint_commit();
  EXPECT_EQ(journal.states().total(BlockState::done), 88U);
  EXPECT_EQ(journal.states().at(25).value, BlockState::untried);
  EXPECT_EQ(journal.states().at(50).value, BlockState::bad);
  EXPECT_EQ(journal.untried(), (Ranges{{60, 1}}));
}

TEST(Journal, FailedFlushPutsAllThatIsNotDoneBackToDo) {
  Journal journal(100);
  journal.completed({0, 10});
  flush(journal);
  journal.completed({10, 10});
  journal.checkpoint_begin();
  journal.completed({20, 10});
  journal.checkpoint_abort();
  EXPECT_EQ(journal.untried(), (Ranges{{10, 90}}));
  flush(journal);
  EXPECT_EQ(journal.states().total(BlockState::done), 10U);
}

TEST(Journal, RewritingDoneOrBadBytesNeedsANewCheckpoint) {
  Journal journal(100);
  journal.completed({0, 50});
  journal.mark_bad({50, 50});
  flush(journal);
  journal.completed({40, 20});
  EXPECT_EQ(journal.states().total(BlockState::done), 40U);
  EXPECT_EQ(journal.states().total(BlockState::bad), 40U);
  flush(journal);
  EXPECT_EQ(journal.states().total(BlockState::done), 60U);
}

TEST(Journal, GoesOnFromSavedStates) {
  Journal first(100);
  first.completed({0, 30});
  first.mark_bad({30, 5});
  flush(first);
  first.completed({35, 10});  // lost with the plug

  const Journal second(first.states());
  EXPECT_EQ(second.size(), 100U);
  EXPECT_EQ(second.untried(), (Ranges{{35, 65}}));
  EXPECT_EQ(second.states(), first.states());
}

TEST(Journal, EmptyJobHasNothingToDo) {
  Journal journal(0);
  flush(journal);
  EXPECT_TRUE(journal.untried().empty());
}

}  // namespace
}  // namespace io
