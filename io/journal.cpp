#include "io/journal.hpp"

#include <cassert>

namespace io {

Journal::Journal(std::uint64_t size) : progress_(size, Progress::untried) {}

Journal::Journal(const RangeMap<BlockState>& states) {
  for (const auto& [range, state] : states) {
    const bool done = state == BlockState::done;
    const bool bad = state == BlockState::bad;
    progress_.append(range.length,
                     done ? Progress::done : (bad ? Progress::bad : Progress::untried));
  }
}

void Journal::completed(ByteRange range) { progress_.set(range, Progress::completed); }

void Journal::mark_bad(ByteRange range) { progress_.set(range, Progress::bad); }

void Journal::mark_untried(ByteRange range) { progress_.set(range, Progress::untried); }

void Journal::checkpoint_begin() {
  assert(!checkpoint_open_);
  checkpoint_open_ = true;
  replace(Progress::completed, Progress::flushing);
}

void Journal::checkpoint_commit() {
  assert(checkpoint_open_);
  checkpoint_open_ = false;
  replace(Progress::flushing, Progress::done);
}

void Journal::checkpoint_abort() {
  assert(checkpoint_open_);
  checkpoint_open_ = false;
  replace(Progress::flushing, Progress::untried);
  replace(Progress::completed, Progress::untried);
}

// One pass over all entries, which is no more work than saving them.
void Journal::replace(Progress from, Progress to) {
  std::vector<ByteRange> ranges;
  for (const auto& [range, progress] : progress_) {
    if (progress == from) ranges.push_back(range);
  }
  for (const ByteRange range : ranges) progress_.set(range, to);
}

std::vector<ByteRange> Journal::untried() const {
  std::vector<ByteRange> ranges;
  for (const auto& [range, progress] : progress_) {
    if (progress == Progress::untried) ranges.push_back(range);
  }
  return ranges;
}

RangeMap<BlockState> Journal::states() const {
  RangeMap<BlockState> states;
  for (const auto& [range, progress] : progress_) {
    const bool done = progress == Progress::done;
    const bool bad = progress == Progress::bad;
    states.append(range.length,
                  done ? BlockState::done : (bad ? BlockState::bad : BlockState::untried));
  }
  return states;
}

}  // namespace io
