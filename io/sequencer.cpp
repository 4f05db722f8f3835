#include "io/sequencer.hpp"

#include <cassert>

namespace io {

void Sequencer::pass(std::uint64_t next) {
  assert(next >= position_);
  position_ = next;
  const auto waiter = waiting_.find(next);
  if (waiter == waiting_.end()) return;
  ring_.schedule(waiter->second);
  waiting_.erase(waiter);
}

void Sequencer::abandon() {
  abandoned_ = true;
  for (const auto& [offset, waiter] : waiting_) ring_.schedule(waiter);
  waiting_.clear();
}

}  // namespace io
