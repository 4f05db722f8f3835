// Whether a qcow2 file is consistent: everything it uses is counted and compared with what its
// refcounts say, and every table entry is looked at. Counts problems as qemu-img check does.
//
// Unlike the reader, the checker goes on where it finds damage, as far as that makes sense. It
// takes 2 bytes for each of at most 48 Mi clusters, beside the cache of tables; each table is
// looked at once for each that names it, within the limits of check.cpp, and the stop flag between
// them.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "formats/images/qcow2/header.hpp"
#include "formats/images/qcow2/refcounts.hpp"
#include "formats/images/qcow2/references.hpp"
#include "io/file.hpp"
#include "io/observer.hpp"

namespace formats::qcow2 {

struct CheckResult {
  std::uint64_t corruptions = 0;
  std::uint64_t leaks = 0;   // clusters that are counted more often than they are used
  std::uint64_t errors = 0;  // what could not be checked
  // Among the corruptions: copied flags that do not agree with the refcount. Refcounts being right,
  // they follow from these.
  std::uint64_t wrong_flags = 0;
  // Also among them: clusters that are counted rightly, but are a table and something else.
  std::uint64_t overlaps = 0;
  // Also among them: entries of the snapshot table that lack their own disk size, have too much
  // beside it, or are too many.
  std::uint64_t wrong_snapshots = 0;

  std::uint64_t image_end = 0;       // past the last cluster in use
  std::uint64_t total_clusters = 0;  // of the guest's disk
  std::uint64_t allocated_clusters = 0;
  std::uint64_t fragmented_clusters = 0;
  std::uint64_t compressed_clusters = 0;

  [[nodiscard]] bool clean() const { return corruptions == 0 && leaks == 0 && errors == 0; }
};

// Hears of each problem, in one line; neighbouring ones of one kind are told as one. After
// `most_problems_told` it is called no more.
using ProblemSink = std::function<void(const std::string& problem)>;
inline constexpr std::uint64_t most_problems_told = 1000;

// Throws Error when the header or the snapshot table is damaged, since nothing can be checked
// then; ErrorKind::unsupported when the image is too large (see References), and
// ErrorKind::cancelled soon after `stop` was set.
CheckResult check(const io::File& file, const ProblemSink& tell, const io::StopFlag& stop);

// How often each cluster is used, leaving out the refcount table and its blocks: what new
// refcounts have to say.
struct CountedReferences {
  References references;
  // Table entries are damaged, so what they used cannot be known: a cluster that seems to be of no
  // use may be theirs.
  bool some_lost = false;
};

// Throws as check() does.
CountedReferences count_references(const io::File& file, const io::StopFlag& stop);

}  // namespace formats::qcow2
