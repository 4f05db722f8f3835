// Where the partitions of a disk lie once they have their new lengths: arithmetic alone, nothing is
// read or written. For relayout.cpp.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "formats/disks/partitions/relayout.hpp"

namespace formats::partitions {

// What is wanted of one partition, all checks passed.
struct Wish {
  io::ByteRange old;
  unsigned number = 0;
  bool logical = false;
  std::uint64_t length = 0;  // at most the old one, whole sectors
  Carry carry = Carry::all;
  std::string stays;  // why it must not move; "": it may
};

struct Places {
  std::vector<Placement> placements;      // in the order of the wishes
  std::optional<io::ByteRange> extended;  // the extended partition
  std::vector<std::uint64_t> ebrs;        // the sectors of its chain, in the chain's order
  std::uint64_t end = 0;                  // behind the last of all these
};

// `layout` can be trusted: its partitions are disjoint, and lie inside the disk and the extended
// one. `wishes` are as its partitions are, one for each; some get their reason to stay here.
// Nothing: partitions and the extended one overlap, or its chain with them.
[[nodiscard]] std::optional<Places> place_partitions(const Layout& layout,
                                                     std::vector<Wish>& wishes,
                                                     std::uint64_t alignment);

}  // namespace formats::partitions
