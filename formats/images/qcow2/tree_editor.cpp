#include "formats/images/qcow2/tree_editor.hpp"

namespace formats::qcow2 {

TreeEditor::TreeEditor(const io::File& file, const Header& header, RefcountEditor& refcounts,
                       const io::StopFlag& stop)
    : file_(file),
      tables_(file),
      cluster_size_(header.geometry.cluster_size()),
      rules_(rules_of(header)),
      refcounts_(refcounts),
      stop_(stop) {}

// A small file can name millions of tables in a hole, which describe nothing.
std::optional<L2Words> TreeEditor::read(HostOffset l2) {
  io::throw_if_stopped(stop_, file_.path());
  if (tables_.is_hole(l2, cluster_size_)) return std::nullopt;
  return L2Words(file_, l2, rules_);
}

// Whether it bears marks "used once", which it does not after this.
bool TreeEditor::clear_marks(L2Words& table) {
  bool any = false;
  for (std::uint64_t i = 0; i < table.size(); ++i) {
    const L2Entry entry = table.at(i);
    if ((entry.word & copied_flag) == 0) continue;
    any = true;
    table.set(i, {entry.word & ~copied_flag, entry.subclusters});
  }
  return any;
}

std::vector<std::uint64_t> TreeEditor::share(const std::vector<HostOffset>& l1) {
  std::vector<std::uint64_t> shared(l1.size());
  for (std::size_t index = 0; index < l1.size(); ++index) {
    if (l1[index].value == 0) continue;
    auto table = read(l1[index]);
    if (table) {
      for_each_use(*table, [this](std::uint64_t used) { refcounts_.take(used); });
    }
    if (table && clear_marks(*table)) {
      shared[index] = refcounts_.place(bytes_of(table->words())).value | copied_flag;
    } else {
      refcounts_.take(l1[index].value / cluster_size_);
      shared[index] = l1[index].value;
    }
  }
  return shared;
}

void TreeEditor::drop(const std::vector<HostOffset>& l1) {
  for (const HostOffset l2 : l1) {
    if (l2.value == 0) continue;
    if (const auto table = read(l2)) {
      for_each_use(*table, [this](std::uint64_t used) { refcounts_.release(used); });
    }
    refcounts_.release(l2.value / cluster_size_);
  }
}

std::uint64_t TreeEditor::right_word(const L2Entry& entry) {
  std::uint64_t word = entry.word & ~copied_flag;
  if (entry.compressed()) return word;
  for_each_cluster_of(entry, rules_, [&](std::uint64_t used) {
    if (refcounts_.at(used) == 1) word |= copied_flag;
  });
  return word;
}

// Whether a mark was wrong; all are right after this.
bool TreeEditor::mark(L2Words& table) {
  bool changed = false;
  for (std::uint64_t i = 0; i < table.size(); ++i) {
    const L2Entry entry = table.at(i);
    const std::uint64_t right = right_word(entry);
    changed = changed || right != entry.word;
    table.set(i, {right, entry.subclusters});
  }
  return changed;
}

std::vector<std::uint64_t> TreeEditor::marked(const std::vector<HostOffset>& l1) {
  std::vector<std::uint64_t> words(l1.size());
  for (std::size_t index = 0; index < l1.size(); ++index) {
    if (l1[index].value == 0) continue;
    words[index] = l1[index].value;
    // What a table names that is shared is used more than once, and bears no marks.
    if (refcounts_.at(l1[index].value / cluster_size_) > 1) continue;
    words[index] |= copied_flag;
    auto table = read(l1[index]);
    if (!table || !mark(*table)) continue;
    refcounts_.release(l1[index].value / cluster_size_);
    words[index] = refcounts_.place(bytes_of(table->words())).value | copied_flag;
  }
  return words;
}

}  // namespace formats::qcow2
