#include "formats/images/qcow2/check.hpp"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "formats/bytes/big_endian.hpp"
#include "formats/images/qcow2/bitmaps.hpp"
#include "formats/images/qcow2/entries.hpp"
#include "formats/images/qcow2/snapshots.hpp"
#include "io/error.hpp"

namespace formats::qcow2 {
namespace {

constexpr std::uint64_t most_l2_tables = std::uint64_t{2} << 20;
constexpr std::uint64_t most_l1_entries = std::uint64_t{64} << 20;      // read, over all snapshots
constexpr std::uint64_t most_bitmap_entries = std::uint64_t{64} << 20;  // over all bitmaps
constexpr std::uint64_t clusters_between_looks = 65536;                 // at the stop flag
constexpr std::uint64_t bitmap_reserved_mask = 0xff000000000001fe;

// An L2 table, and how many L1 entries name it.
struct L2Table {
  HostOffset offset;
  std::uint32_t times = 0;
  std::uint32_t active_times = 0;  // by the active L1 table
};

class Checker {
 public:
  Checker(const io::File& file, const ProblemSink& tell, const io::StopFlag& stop)
      : file_(file),
        tell_(tell),
        stop_(stop),
        header_(read_header(file)),
        tables_(file),
        rules_{header_.geometry, header_.version > 2, header_.external_data},
        refcounts_(tables_, header_),
        references_(header_.geometry, clusters_in_file()) {
    l2_tables_.reserve(most_l2_tables);  // else it takes twice that while it grows
  }

  CheckResult run() {
    result_.total_clusters = io::align_up(header_.virtual_size, cluster_size()) / cluster_size();
    count_all_but_refcounts();
    count_refcounts();
    compare_counts();
    return result_;
  }

  // For a repair.
  CountedReferences count_for_repair() {
    repairing_ = true;
    count_all_but_refcounts();
    return {std::move(references_), some_lost_};
  }

 private:
  [[nodiscard]] std::uint64_t cluster_size() const { return header_.geometry.cluster_size(); }

  [[nodiscard]] std::uint64_t clusters_in_file() const {
    const std::uint64_t clusters =
        tables_.file_size() / cluster_size() + (tables_.file_size() % cluster_size() != 0 ? 1 : 0);
    if (clusters > References::most_clusters) refuse("has too many clusters to be checked");
    return clusters;
  }

  [[noreturn]] void refuse(std::string text) const {
    throw io::Error(io::ErrorKind::unsupported, file_.path(), std::move(text));
  }

  void throw_if_stopped() const { io::throw_if_stopped(stop_, file_.path()); }

  // --- problems ---

  template <class... Arguments>
  void tell(fmt::format_string<const Arguments&...> format, const Arguments&... arguments) {
    if (told_++ < most_problems_told) tell_(fmt::format(format, arguments...));
  }

  // Damage of an entry, so that it does not say any more where something is.
  template <class... Arguments>
  void lose(std::uint64_t times, fmt::format_string<const Arguments&...> format,
            const Arguments&... arguments) {
    some_lost_ = true;
    corrupt<Arguments...>(times, format, arguments...);
  }

  template <class... Arguments>
  void corrupt(std::uint64_t times, fmt::format_string<const Arguments&...> format,
               const Arguments&... arguments) {
    result_.corruptions += times;
    tell<Arguments...>(format, arguments...);
  }

  // --- counting ---

  void count_all_but_refcounts() {
    use({0}, cluster_size(), 1, Use::exclusive_table);
    count_l1_tables();
    merge_l2_tables();
    for (const L2Table& table : l2_tables_) count_l2_table(table);
    count_other_tables();
  }

  // The file's last cluster may be cut short, so something may end up to a cluster behind it.
  void use(HostOffset offset, std::uint64_t bytes, std::uint64_t times, Use use) {
    use_whole(offset, bytes, times, use, cluster_size());
  }

  // Less than `grain` bytes at the end may be missing.
  void use_whole(HostOffset offset, std::uint64_t bytes, std::uint64_t times, Use use,
                 std::uint64_t grain) {
    constexpr std::uint64_t largest = std::numeric_limits<std::int64_t>::max();
    if (bytes == 0) return;
    const bool wraps = bytes > largest || offset.value > largest - bytes;
    if (wraps || (offset.value + bytes > tables_.file_size() &&
                  offset.value + bytes - tables_.file_size() >= grain)) {
      lose(times, "{} bytes at {} are used, but the file ends at {}", bytes, offset.value,
           tables_.file_size());
      return;
    }
    references_.add(offset, bytes, times, use);
  }

  // Only what the length of a stream was rounded up by may be missing, as for the reader.
  void use_stream(const CompressedStream& stream, std::uint64_t times) {
    const bool begins_inside = stream.offset.value < tables_.file_size();
    use_whole(stream.offset, stream.bytes, times, Use::data, begins_inside ? stream_unit : 0);
  }

  // What lies past the end of the file reads as zeros.
  [[nodiscard]] std::vector<std::byte> read(HostOffset offset, std::uint64_t bytes) const {
    std::vector<std::byte> content(bytes);
    file_.read_at(offset.value, content);
    return content;
  }

  void count_wrong_snapshots(const SnapshotTable& table) {
    for (const Snapshot& snapshot : table.snapshots) {
      if (snapshot.incomplete) {
        corrupt(1, "the entry of snapshot {} does not say how large its disk is", snapshot.id);
      }
      if (snapshot.oversized) {
        corrupt(1, "the entry of snapshot {} has too much extra data", snapshot.id);
      }
      if (snapshot.to_be_mended()) ++result_.wrong_snapshots;
    }
    if (table.dropped == 0) return;
    corrupt(table.dropped, "the table of snapshots has {} more than there may be", table.dropped);
    result_.wrong_snapshots += table.dropped;
  }

  void count_l1_tables() {
    count_l1(header_.l1_offset, header_.l1_entries, true);
    const SnapshotTable table = read_snapshots_to_mend(tables_, header_);
    snapshot_table_bytes_ = table.bytes;
    count_wrong_snapshots(table);
    for (const Snapshot& snapshot : table.snapshots) {
      if (header_.geometry.offset_in_cluster(snapshot.l1_offset.value) != 0) {
        lose(1, "the L1 table of snapshot {} is at {}, not at a multiple of the cluster size",
             snapshot.id, snapshot.l1_offset.value);
      } else if (snapshot.l1_entries > largest_l1_bytes / 8) {
        lose(1, "the L1 table of snapshot {} has {} entries, more than {}", snapshot.id,
             snapshot.l1_entries, largest_l1_bytes / 8);
      } else {
        count_l1(snapshot.l1_offset, snapshot.l1_entries, false);
      }
    }
  }

  void count_l1(HostOffset offset, std::uint32_t entries, bool active) {
    use(offset, std::uint64_t{entries} * 8, 1, Use::exclusive_table);
    l1_entries_read_ += entries;
    if (l1_entries_read_ > most_l1_entries) refuse("has too many snapshots to be checked");
    constexpr std::uint64_t at_once = io::MiB / 8;
    for (std::uint64_t begin = 0; begin < entries; begin += at_once) {
      throw_if_stopped();
      const std::uint64_t end = std::min<std::uint64_t>(begin + at_once, entries);
      const auto table = read(offset + begin * 8, (end - begin) * 8);
      for (std::uint64_t i = begin; i < end; ++i) {
        const auto word = load_big_endian<std::uint64_t>(table, (i - begin) * 8);
        if (word != 0) count_l1_entry(word, i, active);
      }
    }
  }

  void count_l1_entry(std::uint64_t word, std::uint64_t index, bool active) {
    if ((word & l1_reserved_mask) != 0) {
      corrupt(1, "L1 entry {} is {:#018x}: reserved bits are set", index, word);
    }
    const HostOffset l2 = table_offset(word);
    if (header_.geometry.offset_in_cluster(l2.value) != 0) {
      lose(1, "L1 entry {} is {:#018x}: the offset is not that of a cluster", index, word);
      return;  // thousands of tables could overlap there, each to be walked
    }
    if (active && l2.value != 0) check_copied(word, l2, 1, "L1 entry");
    use(l2, cluster_size(), 1, Use::l2_table);
    if (l2_tables_.size() == most_l2_tables) refuse("has too many L2 tables to be checked");
    l2_tables_.push_back({l2, 1, active ? 1U : 0U});
  }

  // Each table once, in the order in which they lie in the file.
  void merge_l2_tables() {
    std::sort(l2_tables_.begin(), l2_tables_.end(),
              [](const L2Table& a, const L2Table& b) { return a.offset < b.offset; });
    auto last = l2_tables_.begin();
    for (const L2Table& one : l2_tables_) {
      if (one.offset == last->offset && &one != &*last) {
        last->times += one.times;
        last->active_times += one.active_times;
      } else if (&one != &*last) {
        *++last = one;
      }
    }
    if (!l2_tables_.empty()) l2_tables_.erase(last + 1, l2_tables_.end());
  }

  void count_l2_table(const L2Table& table) {
    throw_if_stopped();
    if (tables_.is_hole(table.offset, cluster_size())) return;
    const auto bytes = read(table.offset, cluster_size());
    HostOffset expected;
    for (std::uint64_t at = 0; at < bytes.size(); at += header_.geometry.l2_entry_bytes()) {
      L2Entry entry{load_big_endian<std::uint64_t>(bytes, at), 0};
      if (header_.geometry.extended_l2) {
        entry.subclusters = load_big_endian<std::uint64_t>(bytes, at + 8);
      }
      if (entry.word == 0 && entry.subclusters == 0) continue;
      entry.compressed() ? count_compressed(entry, table) : count_plain(entry, table, expected);
    }
  }

  void count_compressed(const L2Entry& entry, const L2Table& table) {
    if ((entry.word & copied_flag) != 0) {
      result_.wrong_flags += table.times;
      corrupt(table.times, "compressed cluster {:#018x} has the copied flag", entry.word);
    }
    const std::string fault = l2_fault(entry, rules_);
    if (!fault.empty()) {
      lose(table.times, "L2 entry {:#018x}: {}", entry.word, fault);
      return;
    }
    const CompressedStream stream = compressed_stream(entry.word, header_.geometry);
    use_stream(stream, table.times);
    result_.allocated_clusters += table.active_times;
    result_.compressed_clusters += table.active_times;
    result_.fragmented_clusters += table.active_times;
  }

  void count_plain(const L2Entry& entry, const L2Table& table, HostOffset& expected) {
    const std::string fault = l2_fault(entry, rules_);
    if (!fault.empty()) lose(table.times, "L2 entry {:#018x}: {}", entry.word, fault);
    if (has_misplaced_zeros(entry, rules_)) {
      corrupt(table.times, "L2 entry {:#018x}: the offset of zeros is not that of a cluster",
              entry.word);
      if (repairing_) return;  // the entry is mended, and uses nothing then
    }
    if (!has_space(entry, rules_)) return;
    const HostOffset cluster = table_offset(entry.word);
    if (table.active_times != 0) {
      check_copied(entry.word, cluster, table.active_times, "L2 entry");
      result_.allocated_clusters += table.active_times;
      if (expected.value != 0 && cluster != expected) {
        result_.fragmented_clusters += table.active_times;
      }
      expected = cluster + cluster_size();
    }
    if (!header_.external_data) use(cluster, cluster_size(), table.times, Use::data);
  }

  void check_copied(std::uint64_t word, HostOffset cluster, std::uint64_t times,
                    std::string_view what) {
    std::optional<std::uint64_t> count = 1;
    if (!header_.external_data || what == "L1 entry") {
      count = refcounts_.of(cluster.value / cluster_size());
    }
    if (!count) return;
    if ((*count == 1) != ((word & copied_flag) != 0)) {
      result_.wrong_flags += times;
      corrupt(times, "{} {:#018x}: the copied flag is {}, but the refcount is {}", what, word,
              (word & copied_flag) != 0 ? "set" : "not set", *count);
    }
  }

  void count_other_tables() {
    use(header_.snapshots_offset, snapshot_table_bytes_, 1, Use::exclusive_table);
    if (header_.encryption_header) {
      use({header_.encryption_header->offset}, header_.encryption_header->length, 1,
          Use::exclusive_table);
    }
    if (!header_.bitmaps_consistent || !header_.bitmaps) return;
    use(header_.bitmaps->offset, header_.bitmaps->bytes, 1, Use::exclusive_table);
    for (const Bitmap& bitmap : read_bitmaps(tables_, header_)) count_bitmap(bitmap);
  }

  void count_bitmap(const Bitmap& bitmap) {
    const std::uint64_t bytes = std::uint64_t{bitmap.table_entries} * 8;
    use(bitmap.table_offset, bytes, 1, Use::exclusive_table);
    bitmap_entries_read_ += bitmap.table_entries;
    if (bitmap_entries_read_ > most_bitmap_entries) refuse("has too many bitmaps to be checked");
    for (std::uint64_t at = 0; at < bytes; at += 8) {
      const auto cached = tables_.cached(bitmap.table_offset + at, 8);
      const auto word = load_big_endian<std::uint64_t>(cached, 0);
      const HostOffset cluster = table_offset(word);
      if ((word & bitmap_reserved_mask) != 0 || (cluster.value != 0 && (word & 1) != 0) ||
          header_.geometry.offset_in_cluster(cluster.value) != 0) {
        lose(1, "bitmap {}: table entry {:#018x} makes no sense", bitmap.name, word);
      } else if (cluster.value != 0) {
        use(cluster, cluster_size(), 1, Use::exclusive_table);
      }
    }
  }

  void count_refcounts() {
    if (header_.refcount_table_lost) corrupt(1, "the refcount table is outside of the file");
    use(header_.refcount_table_offset, refcounts_.table().size() * 8, 1, Use::exclusive_table);
    const auto& table = refcounts_.table();
    for (std::uint64_t i = 0; i < table.size(); ++i) {
      const HostOffset block{table[i] & ~refcount_table_reserved_mask};
      if ((table[i] & refcount_table_reserved_mask) != 0) {
        corrupt(1, "refcount table entry {} is {:#018x}: reserved bits are set", i, table[i]);
      } else if (header_.geometry.offset_in_cluster(block.value) != 0) {
        corrupt(1, "refcount table entry {} is {:#018x}: not the offset of a cluster", i, table[i]);
      } else if (block.value / cluster_size() >= references_.size()) {
        corrupt(1, "refcount block {} is at {}, outside of the file", i, block.value);
      } else if (block.value != 0) {
        use(block, cluster_size(), 1, Use::exclusive_table);
        const std::uint64_t count = references_.count(block.value / cluster_size());
        if (count != 1) {
          corrupt(1, "refcount block {} at {} is used {} times", i, block.value, count);
        }
      }
    }
  }

  // --- what is used against what is counted ---

  void compare_counts() {
    std::uint64_t end = 0;
    for (std::uint64_t cluster = 0; cluster < references_.size(); ++cluster) {
      if (cluster % clusters_between_looks == 0) throw_if_stopped();
      const std::uint64_t used = used_times(cluster);
      const auto counted = refcounts_.of(cluster);
      if (!counted) {
        ++result_.errors;
        tell("the refcount of cluster {} cannot be read", cluster);
        continue;
      }
      if (*counted > 0 || used > 0) end = cluster;
      if (*counted < used) {
        corrupt(1, "cluster {} at {} is used {} times, but its refcount is {}", cluster,
                cluster * cluster_size(), used, *counted);
      } else if (*counted > used && used < References::largest_count) {
        ++result_.leaks;
        tell("cluster {} at {} is leaked: it is used {} times, but its refcount is {}", cluster,
             cluster * cluster_size(), used, *counted);
      } else if (references_.overlaps(cluster)) {
        ++result_.overlaps;
        corrupt(1, "cluster {} at {} is used for more than one thing", cluster,
                cluster * cluster_size());
      }
    }
    result_.image_end = (end + 1) * cluster_size();
  }

  // What does not fit into a refcount is a corruption of its own.
  std::uint64_t used_times(std::uint64_t cluster) {
    const std::uint64_t used = references_.count(cluster);
    if (header_.refcount_bits >= 16) return used;
    const std::uint64_t most = (std::uint64_t{1} << header_.refcount_bits) - 1;
    if (used <= most) return used;
    corrupt(used - most, "cluster {} at {} is used {} times, but a refcount cannot exceed {}",
            cluster, cluster * cluster_size(), used, most);
    return most;
  }

  const io::File& file_;
  ProblemSink tell_;
  const io::StopFlag& stop_;
  Header header_;
  TableReader tables_;
  L2Rules rules_;
  Refcounts refcounts_;
  References references_;
  CheckResult result_;
  bool some_lost_ = false;
  bool repairing_ = false;
  std::vector<L2Table> l2_tables_;
  std::uint64_t snapshot_table_bytes_ = 0;
  std::uint64_t l1_entries_read_ = 0;
  std::uint64_t bitmap_entries_read_ = 0;
  std::uint64_t told_ = 0;
};

}  // namespace

CheckResult check(const io::File& file, const ProblemSink& tell, const io::StopFlag& stop) {
  return Checker(file, tell, stop).run();
}

CountedReferences count_references(const io::File& file, const io::StopFlag& stop) {
  Checker checker(
      file, [](const std::string&) {}, stop);
  return checker.count_for_repair();
}

}  // namespace formats::qcow2
