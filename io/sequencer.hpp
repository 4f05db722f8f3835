// Lets lanes through one after another, in the order of their offsets, while they work side by
// side before and behind it.
//
//   const bool mine = co_await sequencer.turn(offset);
//   if (!mine) throw ...;             // an earlier piece will never come
//   ...                               // no other lane is in here
//   sequencer.pass(offset + length);
//
// (g++ 12 loses the way out of `if (co_await ...) co_return; throw ...;`: SIGILL.)
//
// A lane that fails before it has passed calls abandon(), or those behind it wait for ever. Belongs
// to the ring's thread.
#pragma once

#include <atomic>
#include <coroutine>
#include <cstdint>
#include <map>

#include "io/ring.hpp"

namespace io {

class Sequencer {
 public:
  explicit Sequencer(Ring& ring) : ring_(ring) {}
  Sequencer(const Sequencer&) = delete;
  Sequencer& operator=(const Sequencer&) = delete;

  struct Turn {
    Sequencer& sequencer;
    std::uint64_t offset;
    [[nodiscard]] bool await_ready() const noexcept {
      return sequencer.abandoned_ || sequencer.position_ == offset;
    }
    void await_suspend(std::coroutine_handle<> awaiting) {
      sequencer.waiting_.emplace(offset, awaiting);
    }
    [[nodiscard]] bool await_resume() const noexcept { return !sequencer.abandoned_; }
  };
  // Awaitable: goes on when all that lies before `offset` has passed. False: it never will.
  [[nodiscard]] Turn turn(std::uint64_t offset) { return {*this, offset}; }

  // The piece whose turn it was ends at `next`, where the next one begins.
  void pass(std::uint64_t next);

  // A piece will never come: all who wait go on, and none will wait any more.
  void abandon();
  // May be asked on any thread.
  [[nodiscard]] bool abandoned() const noexcept { return abandoned_.load(); }

  // Where the piece begins whose turn it is.
  [[nodiscard]] std::uint64_t position() const noexcept { return position_; }

 private:
  Ring& ring_;
  std::multimap<std::uint64_t, std::coroutine_handle<>>
      waiting_;  // by offset; empty pieces share one
  std::uint64_t position_ = 0;
  std::atomic<bool> abandoned_ = false;
};

}  // namespace io
