// Where two sources differ.
//
// What reads as zeros on both sides is not read; a chunk that holds data on one side only is
// read there alone. Where one source is shorter, it counts as zeros. A stream says its size once
// it has ended. Belongs to the ring's thread.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "io/buffer_pool.hpp"
#include "io/observer.hpp"
#include "io/source.hpp"
#include "io/task_group.hpp"

namespace io {

struct CompareOptions {
  std::uint64_t chunk_size = 1 * MiB;
  unsigned lanes = 16;
  std::size_t most_differences = 1'000'000;  // the comparison ends soon after that many
};

struct Comparison {
  std::vector<ByteRange> differences;  // ascending; see io/difference.hpp
  bool complete = true;                // false: most_differences was reached
};

class Comparer {
 public:
  // All references outlive the comparer. `observer` hears of Phase::read of one
  // target, 0: how much of the longer source is known to be the same or not.
  Comparer(Ring& ring, Source& a, Source& b, const CompareOptions& options, CopyObserver& observer,
           const StopFlag& stop);

  // Throws the first Error of either source, and ErrorKind::cancelled once `stop` is set.
  Comparison run();

 private:
  struct Side {
    Source& source;
    [[nodiscard]] std::optional<std::uint64_t> size() const { return source.size(); }
  };

  Task<> compare_lane(Buffer of_a, Buffer of_b);
  std::optional<ByteRange> next_chunk();
  [[nodiscard]] std::uint64_t end() const;
  [[nodiscard]] static Extent extent_of(Side& side, std::uint64_t offset, std::uint64_t end);
  [[nodiscard]] static bool holds_data(Side& side, ByteRange chunk);
  // Gives the chunk's content, which is in `buffer`, or nothing when it is all zeros.
  static Task<bool> read_chunk(Side& side, ByteRange chunk, Buffer buffer);
  void note(ByteRange chunk, std::vector<ByteRange> found);

  Ring& ring_;
  Side a_;
  Side b_;
  CompareOptions options_;
  CopyObserver& observer_;
  const StopFlag& stop_;
  std::uint64_t position_ = 0;
  bool abandoned_ = false;
  std::size_t found_count_ = 0;
  std::map<std::uint64_t, std::vector<ByteRange>> found_;  // by chunk
};

}  // namespace io
