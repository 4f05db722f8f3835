// The tables that describe one disk: an L1 table and the L2 tables that it names. Snapshots share
// L2 tables and data with the disk as it is now; a cluster is counted once for each way that leads
// to it from an L1 table.
//
// Writes only into clusters that nothing uses; RefcountEditor::take_into_use() makes an end of it.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "formats/images/qcow2/editing.hpp"
#include "formats/images/qcow2/refcount_editor.hpp"
#include "formats/images/qcow2/tables.hpp"
#include "io/observer.hpp"

namespace formats::qcow2 {

class TreeEditor {
 public:
  // All outlive it.
  TreeEditor(const io::File& file, const Header& header, RefcountEditor& refcounts,
             const io::StopFlag& stop);

  // A second tree for what `l1` names, as the disk as it is now needs it: nothing in it is marked
  // as used once, since `l1` keeps its use. L2 tables that bear such marks are copied, all else is
  // shared. Gives its L1 entries.
  [[nodiscard]] std::vector<std::uint64_t> share(const std::vector<HostOffset>& l1);

  // Ends the uses of all that `l1` names.
  void drop(const std::vector<HostOffset>& l1);

  // The same tree, in which exactly what is used once is marked so: its L1 entries. L2 tables that
  // change get new places.
  [[nodiscard]] std::vector<std::uint64_t> marked(const std::vector<HostOffset>& l1);

 private:
  [[nodiscard]] std::optional<L2Words> read(HostOffset l2);
  template <class Visitor>
  void for_each_use(const L2Words& table, const Visitor& visit) const {
    for (std::uint64_t i = 0; i < table.size(); ++i)
      for_each_cluster_of(table.at(i), rules_, visit);
  }
  [[nodiscard]] static bool clear_marks(L2Words& table);
  [[nodiscard]] bool mark(L2Words& table);
  [[nodiscard]] std::uint64_t right_word(const L2Entry& entry);

  const io::File& file_;
  TableReader tables_;  // as the file was before anything was written
  const std::uint64_t cluster_size_;
  const L2Rules rules_;
  RefcountEditor& refcounts_;
  const io::StopFlag& stop_;
};

}  // namespace formats::qcow2
