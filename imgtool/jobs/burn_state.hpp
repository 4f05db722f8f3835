// Where each target of a burn stands; what the parts of the job share.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "imgtool/jobs/burn_place.hpp"
#include "imgtool/jobs/partition_table_fit.hpp"
#include "io/copier.hpp"

namespace imgtool {

enum class VerifyMode : std::uint8_t { full, sample, none };

// What the first MiB of a target holds: whether the disk looks complete.
enum class HeadState : std::uint8_t {
  untouched,  // what it held before the burn
  wiped,      // zeros, read back unless nothing was to be verified
  complete,   // the image's
  unknown,    // neither could be made sure of
};

// What became of one target, for the report.
struct BurnResult {
  std::optional<io::Error> error;           // nothing: it holds the image
  std::uint64_t data_bytes = 0;             // written as data
  std::uint64_t zero_bytes = 0;             // zeroed by request
  double write_seconds = 0;                 // while it was written
  std::uint64_t rewritten_bytes = 0;        // found bad by verify, then mended
  std::vector<io::ByteRange> bad_ranges{};  // what was bad at the last verify that found any
  std::optional<std::uint64_t> real_size;   // about, in bytes; set where the disk claims more
  HeadState head = HeadState::untouched;
  bool past_cache = true;  // false: what was read back may have been a page cache's
  PartitionTableChange table;
  std::string remark;
};

// Vectors with an entry for each target, in the same order.
struct BurnState {
  std::vector<BurnPlace*> places;
  std::vector<std::unique_ptr<BurnMedium>> media;  // null before its start
  std::vector<io::CopyTarget> copies;
  std::vector<BurnResult> results;

  explicit BurnState(std::vector<BurnPlace*> all)
      : places(std::move(all)),
        media(places.size()),
        copies(places.size()),
        results(places.size()) {
    for (std::size_t index = 0; index < places.size(); ++index) copies[index].index = index;
  }

  [[nodiscard]] bool any_live() const {
    return std::any_of(copies.begin(), copies.end(),
                       [](const io::CopyTarget& copy) { return copy.live(); });
  }
  [[nodiscard]] std::vector<std::size_t> live() const {
    std::vector<std::size_t> found;
    for (std::size_t index = 0; index < copies.size(); ++index) {
      if (copies[index].live()) found.push_back(index);
    }
    return found;
  }
};

}  // namespace imgtool
