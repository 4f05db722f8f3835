// Changes what the clusters of an image that exists are used for, so that one write takes all of it
// into use.
//
// Nothing that the image uses is written over: tables that change get new places, in clusters that
// nothing used when the editor was made, and so do the refcounts that say so. Then all of it is
// flushed, and one sector, the first of the header, replaces the old tables by the new ones (see
// header_switch.hpp). Killed at any moment, the image is the old one or the new one, and nothing
// leaks: the clusters that are not in use any more are those that no refcount counts.
//
// A reader that was opened before the editor was made stays right as long as the editor is there:
// clusters that were freed meanwhile are not used again. Memory: the refcount table (at most
// 8 MiB, twice) and 64 MiB of blocks. Blocking; not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "formats/images/qcow2/header.hpp"
#include "formats/images/qcow2/refcounts.hpp"
#include "formats/images/qcow2/tables.hpp"
#include "io/file.hpp"

namespace formats::qcow2 {

class RefcountEditor {
 public:
  // `file` outlives it, is open for reading and writing, and used by no other program; a check
  // found neither corruptions nor errors. Throws Error.
  RefcountEditor(const io::File& file, const Header& header);
  RefcountEditor(const RefcountEditor&) = delete;
  RefcountEditor& operator=(const RefcountEditor&) = delete;
  // Cuts off what was appended and not taken into use.
  ~RefcountEditor();

  [[nodiscard]] std::uint64_t at(std::uint64_t cluster);
  // One use more. Throws ErrorKind::unsupported where the count has no room for it.
  void take(std::uint64_t cluster);
  // One use less. Throws Error where there is none.
  void release(std::uint64_t cluster);
  // The same of every cluster of a table of so many bytes.
  void release(HostOffset table, std::uint64_t bytes);

  // Clusters that follow one another, each used once from now on; what is in them is undefined.
  // Throws ErrorKind::unsupported where the refcount table cannot be long enough.
  [[nodiscard]] HostOffset allocate(std::uint64_t clusters);

  // Writes a table into clusters of its own, with zeros up to their end. An empty one needs none,
  // and is at 0.
  [[nodiscard]] HostOffset place(std::vector<std::byte> table);

  // Moves a table of so many bytes to where it lies further in front in the file, where there is
  // room for that: gives its place then.
  [[nodiscard]] HostOffset moved_forward(HostOffset table, std::uint64_t bytes);

  // Flushes all that was written so far, then makes `next` the image's header, in which it puts
  // where the refcounts are now.
  void take_into_use(Header& next);

  // Blocks of refcounts, and the table of them, move to the first clusters that are free.
  void move_forward();

 private:
  struct Block {
    std::vector<std::byte> bytes;
    bool changed = false;
  };
  struct Change {
    std::uint64_t cluster;
    std::uint64_t count;
  };

  void set(std::uint64_t cluster, std::uint64_t count);
  void apply(const Change& change);
  Block& load(std::uint64_t index);
  Block& writable(std::uint64_t index);
  [[nodiscard]] bool was_free(std::uint64_t cluster);
  [[nodiscard]] std::uint64_t next_free(std::uint64_t clusters);
  void write_blocks();
  void write_table(Header& next);

  const io::File& file_;
  const Header begin_;  // of the image as it was
  TableReader begin_tables_;
  Refcounts begin_counts_;
  const std::uint64_t cluster_size_;
  const std::uint64_t per_block_;
  std::uint64_t table_place_;
  std::uint64_t table_clusters_;
  std::vector<std::uint64_t> table_;       // where the blocks are, or will be
  std::vector<bool> moved_;                // these places are not in use yet
  std::map<std::uint64_t, Block> blocks_;  // by their index in the table
  std::vector<Change> changes_;            // not yet made
  bool making_changes_ = false;
  bool changed_ = false;
  std::uint64_t cursor_ = 0;  // no cluster before it is handed out
  // The length of the file when the first place was handed out that is not in use yet.
  std::optional<std::uint64_t> cut_to_;
};

}  // namespace formats::qcow2
