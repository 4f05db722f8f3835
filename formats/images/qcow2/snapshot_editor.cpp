#include "formats/images/qcow2/snapshot_editor.hpp"

#include <algorithm>
#include <charconv>
#include <vector>

#include <fmt/format.h>

#include "formats/images/qcow2/editing.hpp"
#include "formats/images/qcow2/refcount_editor.hpp"
#include "formats/images/qcow2/tree_editor.hpp"
#include "io/error.hpp"

namespace formats::qcow2 {
namespace {

class SnapshotEditor {
 public:
  SnapshotEditor(const io::File& file, const io::StopFlag& stop)
      : file_(file),
        stop_(stop),
        header_(checked_header(file, stop)),
        tables_(file),
        table_(read_snapshots(tables_, header_)),
        refcounts_(file, header_),
        tree_(file, header_, refcounts_, stop) {}

  Snapshot create(const std::string& name, std::uint32_t date_sec, std::uint32_t date_nsec) {
    Snapshot snapshot = new_snapshot(name);
    snapshot.date_sec = date_sec;
    snapshot.date_nsec = date_nsec;
    auto entries = raw_entries(tables_, header_, table_);
    entries.push_back(make_entry(snapshot));
    set_active(tree_.share(active_l1()), header_.virtual_size);
    replace_table(entries);
    take_into_use();
    return snapshot;
  }

  Snapshot apply(const std::string& wanted) {
    Snapshot snapshot = existing(wanted);
    refuse_apply(snapshot);
    auto l1 = load_l1(tables_, header_, snapshot);
    l1.resize(header_.geometry.l1_entries_for(snapshot.disk_size));
    // In this order a refcount need not have room for both.
    tree_.drop(active_l1());
    release_active_l1();
    set_active(tree_.share(l1), snapshot.disk_size);
    take_into_use();
    return snapshot;
  }

  Snapshot remove(const std::string& wanted) {
    Snapshot snapshot = existing(wanted);
    tree_.drop(load_l1(tables_, header_, snapshot));
    refcounts_.release(snapshot.l1_offset, std::uint64_t{snapshot.l1_entries} * 8);
    auto entries = raw_entries(tables_, header_, table_);
    entries.erase(entries.begin() + position_of(wanted));
    replace_table(entries);
    mark_active();
    take_into_use();
    return snapshot;
  }

  void empty() {
    const auto l1 = active_l1();
    if (std::all_of(l1.begin(), l1.end(), [](HostOffset l2) { return l2.value == 0; })) return;
    tree_.drop(l1);
    release_active_l1();
    set_active(std::vector<std::uint64_t>(l1.size()), header_.virtual_size);
    take_into_use();
  }

 private:
  static Header checked_header(const io::File& file, const io::StopFlag& stop) {
    Header header = read_editable(file);
    if (header.external_data) {
      throw io::Error(io::ErrorKind::unsupported, file.path(),
                      "has an external data file, which snapshots cannot share");
    }
    refuse_damaged(file, stop);
    return header;
  }

  // --- the list of snapshots ---

  [[nodiscard]] Snapshot new_snapshot(const std::string& name) const {
    if (find_snapshot(table_.snapshots, name) != nullptr) {
      throw io::Error::refusal(
          file_.path(), fmt::format("has a snapshot '{}' already; delete it or take another name "
                                    "(imgtool snapshot -l lists them)",
                                    name));
    }
    if (name.empty() || name.size() > longest_snapshot_name) {
      throw io::Error(io::ErrorKind::unsupported, file_.path(),
                      fmt::format("takes names of snapshots of 1 to {} bytes, not of {}",
                                  longest_snapshot_name, name.size()));
    }
    Snapshot snapshot;
    snapshot.id = next_id();
    snapshot.name = name;
    snapshot.l1_offset = header_.l1_offset;
    snapshot.l1_entries = header_.l1_entries;
    snapshot.disk_size = header_.virtual_size;
    const std::uint64_t bytes = io::align_up(table_.bytes, 8) + make_entry(snapshot).size();
    if (table_.snapshots.size() >= most_snapshots || bytes > largest_snapshot_table) {
      throw io::Error(io::ErrorKind::unsupported, file_.path(),
                      "has as many snapshots as an image can have; delete one first");
    }
    return snapshot;
  }

  [[nodiscard]] std::string next_id() const {
    std::uint32_t largest = 0;
    for (const Snapshot& snapshot : table_.snapshots) {
      std::uint32_t number = 0;
      const std::string& id = snapshot.id;
      const auto [end, fault] = std::from_chars(id.data(), id.data() + id.size(), number);
      if (fault == std::errc() && number != ~std::uint32_t{0}) largest = std::max(largest, number);
    }
    return fmt::to_string(std::uint64_t{largest} + 1);
  }

  [[nodiscard]] std::ptrdiff_t position_of(const std::string& wanted) const {
    return find_snapshot(table_.snapshots, wanted) - table_.snapshots.data();
  }

  [[nodiscard]] Snapshot existing(const std::string& wanted) const {
    const Snapshot* snapshot = find_snapshot(table_.snapshots, wanted);
    if (snapshot != nullptr) return *snapshot;
    throw io::Error(io::ErrorKind::format, file_.path(),
                    fmt::format("has no snapshot with id or name '{}'", wanted));
  }

  void replace_table(const std::vector<std::vector<std::byte>>& entries) {
    if (table_.bytes > 0) refcounts_.release(header_.snapshots_offset, table_.bytes);
    header_.snapshot_count = static_cast<std::uint32_t>(entries.size());
    header_.snapshots_offset = refcounts_.place(joined_entries(entries));
  }

  // --- the disk as it is now ---

  [[nodiscard]] std::vector<HostOffset> active_l1() const {
    return load_l1(tables_, header_.geometry, header_.l1_offset, header_.l1_entries);
  }

  void release_active_l1() {
    refcounts_.release(header_.l1_offset, std::uint64_t{header_.l1_entries} * 8);
  }

  void set_active(const std::vector<std::uint64_t>& l1, std::uint64_t size) {
    header_.l1_entries = static_cast<std::uint32_t>(l1.size());
    header_.l1_offset = refcounts_.place(bytes_of(l1));
    header_.virtual_size = size;
  }

  // Clusters that a snapshot used, too, may be the disk's alone now.
  void mark_active() {
    const auto l1 = active_l1();
    const auto words = tree_.marked(l1);
    if (words == read_words(file_, header_.l1_offset, header_.l1_entries)) return;
    release_active_l1();
    set_active(words, header_.virtual_size);
  }

  void refuse_apply(const Snapshot& snapshot) const {
    if (header_.bitmaps && header_.bitmaps_consistent) {
      throw io::Error::refusal(file_.path(),
                               "has bitmaps, which are of the disk as it is now; remove them first "
                               "(imgtool bitmap IMAGE NAME --remove)");
    }
    if (header_.version >= 3 || snapshot.disk_size == header_.virtual_size) return;
    throw io::Error(io::ErrorKind::unsupported, file_.path(),
                    "is of version 2, and its disk has another size than the snapshot's");
  }

  void take_into_use() {
    io::throw_if_stopped(stop_, file_.path());
    refcounts_.take_into_use(header_);
  }

  const io::File& file_;
  const io::StopFlag& stop_;
  Header header_;
  TableReader tables_;
  SnapshotTable table_;
  RefcountEditor refcounts_;
  TreeEditor tree_;
};

}  // namespace

Snapshot create_snapshot(const io::File& file, const std::string& name, std::uint32_t date_sec,
                         std::uint32_t date_nsec, const io::StopFlag& stop) {
  return SnapshotEditor(file, stop).create(name, date_sec, date_nsec);
}

Snapshot apply_snapshot(const io::File& file, const std::string& wanted, const io::StopFlag& stop) {
  return SnapshotEditor(file, stop).apply(wanted);
}

Snapshot delete_snapshot(const io::File& file, const std::string& wanted,
                         const io::StopFlag& stop) {
  return SnapshotEditor(file, stop).remove(wanted);
}

void empty_disk(const io::File& file, const io::StopFlag& stop) {
  SnapshotEditor(file, stop).empty();
}

}  // namespace formats::qcow2
