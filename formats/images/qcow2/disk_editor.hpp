// Writes guest content into a qcow2 image that exists.
//
// A cluster that only the disk uses, as its own, is written over in its place; all else (shared
// with a snapshot, compressed, zeros, nothing) gets a new cluster, and tables that change get new
// places (see refcount_editor.hpp). finish() takes these into use; before, the image has its old
// tables, in which what was written in its place shows already. Blocking; not thread-safe.
//
// Bitmaps are not kept: the caller sees to it that the content does not change, or that there are
// none that record. The image is not encrypted and has its data in its own file.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "formats/images/qcow2/editing.hpp"
#include "formats/images/qcow2/refcount_editor.hpp"
#include "io/file.hpp"

namespace formats::qcow2 {

// Throws ErrorKind::unsupported for an image whose content cannot be written by it.
void refuse_unwritable(const io::File& file, const Header& header);

class DiskEditor {
 public:
  // `file` outlives it, and is checked: see RefcountEditor. `next` differs from `now`, its header,
  // in the backing file at most. Throws Error.
  DiskEditor(const io::File& file, const Header& now, Header next);

  // `content` at `guest`, both whole clusters; ranges are given in ascending order. What lies
  // behind the end of the disk is zeros. Clusters of zeros are stored only where nothing else can
  // say so. Throws Error.
  void write(GuestOffset guest, std::span<const std::byte> content);

  // Flushes what was written, and takes it and the next header into use. The editor is of no use
  // then.
  void finish();

  // Guest bytes of the clusters that were stored, and of those that read as zeros now.
  [[nodiscard]] std::uint64_t data_bytes() const { return data_bytes_; }
  [[nodiscard]] std::uint64_t zero_bytes() const { return zero_bytes_; }

 private:
  void open_table(std::uint64_t index);
  void close_table();
  [[nodiscard]] std::uint64_t place_for(std::uint64_t index);
  [[nodiscard]] bool make_zero(std::uint64_t index);
  [[nodiscard]] bool reads_as_zeros(const L2Entry& entry) const;
  void replace(std::uint64_t index, const L2Entry& entry);

  const io::File& file_;
  Header next_;
  const std::uint64_t cluster_size_;
  const L2Rules rules_;
  const bool unallocated_is_zero_;  // before and after
  RefcountEditor refcounts_;
  std::vector<std::uint64_t> l1_;
  bool l1_changed_ = false;
  std::optional<std::uint64_t> open_;  // the index in L1 of the table at hand
  L2Words table_;
  bool table_changed_ = false;
  std::uint64_t data_bytes_ = 0;
  std::uint64_t zero_bytes_ = 0;
};

}  // namespace formats::qcow2
