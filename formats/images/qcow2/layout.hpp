// Where everything in a new image goes: clusters in guest order, then each L2 table behind what it
// describes, then L1 table and refcounts; the header in front.
//
// Two ways to lay down content. Packed, for compressed images: streams lie byte by byte behind
// one another, and clusters that are stored plainly are gathered and laid down in groups, since
// each group costs half a cluster of alignment; all of it goes through an io::AppendLog. Direct:
// every cluster is plain, and what must be written where is handed out by take_writes(), so that
// nothing is copied.
//
// Only lays out: does no I/O. Clusters are given in ascending order. Not thread-safe.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "formats/images/qcow2/header_writer.hpp"
#include "formats/images/qcow2/refcount_builder.hpp"
#include "io/append_log.hpp"
#include "io/ring.hpp"

namespace formats::qcow2 {

struct HostWrite {
  std::uint64_t offset = 0;
  io::Buffer buffer;
  std::optional<io::AlignedMemory> owned;  // what `buffer` lies in, unless another object owns it
};

class Layout {
 public:
  // `options` and `log` outlive the layout. `packed`: see above.
  Layout(const CreateOptions& options, bool packed, io::AppendLog& log);

  // The guest's cluster of this number. `content` has to last until it was written where that is
  // not done through the log; what lies outside of `subclusters` (extended L2) need not be kept.
  void store_plain(std::uint64_t cluster, io::Buffer content, std::uint64_t subclusters);
  void store_stream(std::uint64_t cluster, std::span<const std::byte> stream);
  // Reads as zeros, whatever the backing file has.
  void store_zero(std::uint64_t cluster, std::uint64_t subclusters);
  // Has a place, and nothing in it. Gives the place.
  std::uint64_t reserve(std::uint64_t cluster);

  // Direct writes since the last call.
  [[nodiscard]] std::vector<HostWrite> take_writes() { return std::move(writes_); }

  // Ends the image of a disk of this size: appends the last tables to the log and gives the first
  // cluster. Direct: take_writes() follows.
  std::vector<std::byte> finish(std::uint64_t guest_size);

  // The length of the file so far; whole clusters after finish().
  [[nodiscard]] std::uint64_t end() const { return packed_ ? log_.position() : end_; }
  // Guest bytes with a place or a stream of their own.
  [[nodiscard]] std::uint64_t content_bytes() const { return content_bytes_; }

 private:
  // A plain cluster that waits for its group.
  struct Pending {
    std::uint64_t cluster;
    std::uint64_t subclusters;
  };

  void open_table(std::uint64_t cluster);
  void close_table();
  void set_entry(std::uint64_t cluster, std::uint64_t word, std::uint64_t subclusters);
  void place_pending();
  std::uint64_t allocate();
  void align_log();
  void add_write(std::uint64_t offset, io::Buffer buffer);
  [[nodiscard]] io::ByteRange stored_part(std::uint64_t subclusters) const;
  TablePlaces place_l1();

  const CreateOptions& options_;
  const std::uint64_t cluster_size_;
  const bool packed_;
  io::AppendLog& log_;
  RefcountBuilder refcounts_;
  std::uint64_t end_ = 0;  // direct only
  std::uint64_t content_bytes_ = 0;
  std::vector<std::uint64_t> l1_;
  std::optional<std::uint64_t> open_table_;  // its index in L1
  std::vector<std::byte> table_;             // its entries
  std::vector<Pending> pending_;
  std::vector<std::byte> pending_content_;
  std::vector<HostWrite> writes_;
};

}  // namespace formats::qcow2
