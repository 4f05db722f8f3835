// What a job has done so far: which bytes are safely on the medium, which could not be had.
//
// A write that completed may still sit in the device's cache, so it counts as done only when a
// flush that began after it has ended well:
//
//   journal.completed(range);        // at each completion
//   journal.checkpoint_begin();      // then start the flush; writes may go on meanwhile
//   journal.checkpoint_commit();     // the flush succeeded: save journal.states()
//
// The journal knows no file: the code that saves it turns states() into a mapfile. Not thread-safe.
// Ranges lie within [0, size).
#pragma once

#include <cstdint>
#include <vector>

#include "io/byte_range.hpp"
#include "io/range_map.hpp"

namespace io {

enum class BlockState : std::uint8_t {
  untried,  // nothing is known about it
  done,     // survives a pulled plug
  bad,      // tried, and could not be read or written
};

class Journal {
 public:
  // Nothing has been tried.
  explicit Journal(std::uint64_t size);
  // Goes on from what an earlier run saved.
  explicit Journal(const RangeMap<BlockState>& states);

  [[nodiscard]] std::uint64_t size() const noexcept { return progress_.size(); }

  // Written, perhaps only into a cache. It is no longer to do, whatever it was before: also a
  // range that was done or bad and has now been written again waits for the next checkpoint.
  void completed(ByteRange range);
  void mark_bad(ByteRange range);
  // To do again: verify found other content there.
  void mark_untried(ByteRange range);

  // Everything completed so far belongs to the flush that the caller starts now. One checkpoint
  // at a time.
  void checkpoint_begin();
  // The flush succeeded: what belongs to it is done, except where it was marked or written anew.
  void checkpoint_commit();
  // The flush failed: everything that is not done yet is to do again, also what completed while
  // it ran. The kernel reports a lost write once; the next flush would succeed without it.
  void checkpoint_abort();

  // The ranges that still need work in this run, in order. What was completed is not among them,
  // though it may not be done yet.
  [[nodiscard]] std::vector<ByteRange> untried() const;

  // What a later run may rely on: completed but not yet durable ranges are untried.
  [[nodiscard]] RangeMap<BlockState> states() const;

 private:
  enum class Progress : std::uint8_t { untried, completed, flushing, done, bad };

  void replace(Progress from, Progress to);

  RangeMap<Progress> progress_;
  bool checkpoint_open_ = false;
};

}  // namespace io
