// The first MiB of each target: wiped first, written last, taken back when it cannot be trusted,
// so that a disk never looks complete before it is.
#pragma once

#include <vector>

#include "imgtool/jobs/burn_mender.hpp"
#include "io/memory_source.hpp"

namespace imgtool {

class BurnHead {
 public:
  // All references outlive it. `size`: bytes of the head, a multiple of the chunk size unless it
  // is the whole image.
  BurnHead(io::Ring& ring, BurnState& state, BurnMender& mender, std::uint64_t size,
           const io::CopyOptions& copy, io::CopyObserver& observer, const io::StopFlag& stop);

  // Makes the head of a target zeros, and makes sure by reading it back. The target fails when
  // that cannot be had.
  void wipe(std::size_t target);

  // The target fails when its head is not zeros any more: what was written behind it has come out
  // there. `rest` is what lies behind the head.
  void check_still_wiped(std::size_t target, const BurnContent& rest);

  // Writes `head` to the targets, and verifies it. Those that fail, and all of them when an
  // exception leaves, are wiped again.
  void write(io::MemorySource& head, const std::vector<std::size_t>& targets);

  // The target fails, and its head is wiped again, when writing the head or the partition table
  // changed what lies behind, where a medium of a usual smaller size would have put them.
  void check_aliases(std::size_t target, const BurnContent& rest);

  // Wipes the head of a target that failed or was left unfinished.
  void take_back(std::size_t target);

 private:
  [[nodiscard]] io::ByteRange range_on(std::size_t target) const;
  [[nodiscard]] std::vector<io::ByteRange> not_zeros(std::size_t target);
  void write_zeros(std::size_t target);
  void write_unguarded(io::MemorySource& head, const std::vector<std::size_t>& targets);

  io::Ring& ring_;
  BurnState& state_;
  BurnMender& mender_;
  std::uint64_t size_;
  io::CopyOptions copy_;
  io::CopyObserver& observer_;
  const io::StopFlag& stop_;
};

}  // namespace imgtool
