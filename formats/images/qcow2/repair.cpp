#include "formats/images/qcow2/repair.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <set>

#include <fmt/format.h>

#include "formats/bytes/big_endian.hpp"
#include "formats/images/qcow2/check.hpp"
#include "formats/images/qcow2/entries.hpp"
#include "io/error.hpp"

namespace formats::qcow2 {
namespace {

constexpr std::uint64_t refcount_table_field = 48;  // of the header: the offset, then the size
constexpr std::uint64_t incompatible_field = 72;
constexpr std::uint64_t autoclear_field = 88;
constexpr std::uint64_t dirty_and_corrupt = 3;
constexpr std::uint64_t known_autoclear = 3;

void write_word(const io::File& file, HostOffset where, std::uint64_t word) {
  std::array<std::byte, 8> bytes{};
  store_big_endian(std::span<std::byte>(bytes), 0, word);
  file.write_at(where.value, bytes);
}

class Repairer {
 public:
  Repairer(const io::File& file, CountedReferences counted, const io::StopFlag& stop)
      : file_(file),
        stop_(stop),
        header_(read_header(file)),
        tables_(file),
        rules_{header_.geometry, header_.version > 2, header_.external_data},
        refcounts_(tables_, header_),
        used_(std::move(counted.references)),
        some_lost_(counted.some_lost) {}

  void run(RepairScope scope) {
    const bool rebuild = !account_for_refcount_blocks();
    // New refcounts mend more than was asked for; and where references are lost, they would lie
    // where a damaged entry may point to.
    if (rebuild && (scope != RepairScope::all || some_lost_)) return;
    if (used_.overlaps(0)) return;  // guest data is in the header's cluster
    if (rebuild) plan_new_refcounts();
    clear_unknown_autoclear_features();
    if (scope != RepairScope::leaks) mend_tables(false);
    if (scope != RepairScope::flags) {
      rebuild ? write_new_refcounts() : write_refcounts(scope == RepairScope::leaks);
    }
    if (scope != RepairScope::leaks) mend_tables(true);
  }

 private:
  [[nodiscard]] std::uint64_t cluster_size() const { return header_.geometry.cluster_size(); }

  // Between two steps of any phase: a file that is left there is no worse than it was.
  void throw_if_stopped() const { io::throw_if_stopped(stop_, file_.path()); }

  [[nodiscard]] std::uint64_t used(std::uint64_t cluster) const {
    if (cluster >= used_.size()) return 0;
    const std::uint64_t most = header_.refcount_bits >= 16
                                   ? References::largest_count
                                   : (std::uint64_t{1} << header_.refcount_bits) - 1;
    return std::min(used_.count(cluster), most);
  }

  void clear_unknown_autoclear_features() {
    if (header_.version < 3) return;
    std::array<std::byte, 8> bytes{};
    tables_.read({autoclear_field}, bytes, "the header");
    const auto features = load_big_endian<std::uint64_t>(bytes, 0);
    if ((features & ~known_autoclear) == 0) return;
    write_word(file_, {autoclear_field}, features & known_autoclear);
    file_.sync();
  }

  // --- refcounts in their place ---

  // False when the refcount structures themselves are damaged, or something that is used has no
  // place in them.
  bool account_for_refcount_blocks() {
    const std::uint64_t clusters = tables_.file_size() / cluster_size();
    used_.add(header_.refcount_table_offset, refcounts_.table().size() * 8, 1,
              Use::exclusive_table);
    bool good = true;
    for (const std::uint64_t word : refcounts_.table()) {
      const std::uint64_t block = word / cluster_size();
      if (word == 0) continue;
      if ((word & refcount_table_reserved_mask) != 0 || word % cluster_size() != 0 ||
          block >= clusters) {
        good = false;
        continue;
      }
      used_.add({word}, cluster_size(), 1, Use::exclusive_table);
    }
    good = good && !any_structure_is_shared() && all_used_have_a_block();
    if (!good) {
      used_ = References(header_.geometry, 0);  // frees the memory first
      used_ = count_references(file_, stop_).references;
    }
    return good;
  }

  [[nodiscard]] bool any_structure_is_shared() const {
    const std::uint64_t first = header_.refcount_table_offset.value / cluster_size();
    for (std::uint64_t i = 0; i < header_.refcount_table_clusters; ++i) {
      if (used_.count(first + i) > 1) return true;
    }
    return std::any_of(
        refcounts_.table().begin(), refcounts_.table().end(),
        [this](std::uint64_t word) { return word != 0 && used_.count(word / cluster_size()) > 1; });
  }

  [[nodiscard]] bool all_used_have_a_block() const {
    const std::uint64_t per_block = refcounts_.clusters_per_block();
    for (std::uint64_t cluster = 0; cluster < used_.size(); ++cluster) {
      const std::uint64_t block = cluster / per_block;
      const bool has_block = block < refcounts_.table().size() && refcounts_.table()[block] != 0;
      if (!has_block && used_.count(cluster) != 0) return false;
    }
    return true;
  }

  void write_refcounts(bool only_lower) {
    for (std::uint64_t i = 0; i < refcounts_.table().size(); ++i) {
      const HostOffset offset{refcounts_.table()[i]};
      if (offset.value == 0) continue;
      throw_if_stopped();
      std::vector<std::byte> block(cluster_size());
      tables_.read(offset, block, "a refcount block");
      if (correct(block, i * refcounts_.clusters_per_block(), only_lower)) {
        file_.write_at(offset.value, block);
      }
    }
    file_.sync();
  }

  bool correct(std::span<std::byte> block, std::uint64_t first_cluster, bool only_lower) const {
    bool changed = false;
    for (std::uint64_t i = 0; i < refcounts_.clusters_per_block(); ++i) {
      const std::uint64_t right = used(first_cluster + i);
      const std::uint64_t now = refcount_in(block, i, header_.refcount_bits);
      // A count that is not whole says no more than "many".
      const bool may_be_more = right == References::largest_count || some_lost_;
      if (now == right || (now < right ? only_lower : may_be_more)) continue;
      set_refcount_in(block, i, header_.refcount_bits, right);
      changed = true;
    }
    return changed;
  }

  // --- new refcounts behind the end of the file ---

  // Settles where they go, and counts the clusters they take; more clusters may need more
  // blocks, and these a larger table, so it takes a few rounds.
  void plan_new_refcounts() {
    const std::uint64_t per_block = refcounts_.clusters_per_block();
    for (std::uint64_t cluster = 0; cluster < used_.size(); ++cluster) {
      if (used_.count(cluster) != 0) new_blocks_.insert(cluster / per_block);
    }
    const std::uint64_t file_end =
        io::align_up(tables_.file_size(), cluster_size()) / cluster_size();
    new_start_ = std::max(file_end, used_.size());
    for (std::uint64_t taken = 0;;) {
      new_table_clusters_ =
          new_blocks_.empty()
              ? 1
              : io::align_up((*new_blocks_.rbegin() + 1) * 8, cluster_size()) / cluster_size();
      const std::uint64_t wanted = new_table_clusters_ + new_blocks_.size();
      if (wanted == taken) break;
      for (; taken < wanted; ++taken) new_blocks_.insert((new_start_ + taken) / per_block);
    }
    const std::uint64_t new_end = new_start_ + new_table_clusters_ + new_blocks_.size();
    if (new_table_clusters_ * cluster_size() > largest_refcount_table_bytes ||
        new_end > References::most_clusters) {
      throw io::Error(io::ErrorKind::unsupported, file_.path(),
                      "is too large for new refcounts of this width");
    }
    used_.add({new_start_ * cluster_size()}, (new_end - new_start_) * cluster_size(), 1,
              Use::exclusive_table);
  }

  void write_new_refcounts() {
    std::vector<std::byte> table(new_table_clusters_ * cluster_size());
    std::uint64_t place = (new_start_ + new_table_clusters_) * cluster_size();
    for (const std::uint64_t index : new_blocks_) {
      throw_if_stopped();
      std::vector<std::byte> block(cluster_size());
      correct(block, index * refcounts_.clusters_per_block(), false);
      file_.write_at(place, block);
      store_big_endian(std::span(table), index * 8, place);
      place += cluster_size();
    }
    file_.write_at(new_start_ * cluster_size(), table);
    file_.sync();

    std::array<std::byte, 12> field{};
    store_big_endian(std::span<std::byte>(field), 0, new_start_ * cluster_size());
    store_big_endian(std::span<std::byte>(field), 8,
                     static_cast<std::uint32_t>(new_table_clusters_));
    file_.write_at(refcount_table_field, field);
    file_.sync();
  }

  // --- L1 and L2 entries of the active disk ---

  // Clears the copied flags that are set wrongly, or (`set`) sets those that are missing. Leaves
  // tables alone whose place is guest data, too.
  void mend_tables(bool set) {
    for (const HostOffset l2 : mend_l1(set)) {
      throw_if_stopped();
      // Zeros have nothing to mend, and a small file can name millions of tables in a hole.
      if (!used_.overlaps(l2.value / cluster_size()) && !tables_.is_hole(l2, cluster_size())) {
        mend_l2(l2, set);
      }
    }
    file_.sync();
  }

  // Gives the L2 tables, each once, however many entries name it.
  std::vector<HostOffset> mend_l1(bool set) {
    std::vector<HostOffset> l2_tables;
    l2_tables.reserve(header_.l1_entries);
    for (std::uint64_t i = 0; i < header_.l1_entries; ++i) {
      const HostOffset where = header_.l1_offset + i * 8;
      const std::uint64_t word = word_at(where);
      const HostOffset l2 = table_offset(word);
      if (!l1_fault(word, header_.geometry, tables_.file_size()).empty()) continue;
      if (!used_.overlaps(where.value / cluster_size())) {
        mend_flag(where, word, l2, set);
      }
      l2_tables.push_back(l2);
    }
    std::sort(l2_tables.begin(), l2_tables.end());
    l2_tables.erase(std::unique(l2_tables.begin(), l2_tables.end()), l2_tables.end());
    return l2_tables;
  }

  void mend_l2(HostOffset l2, bool set) {
    const std::uint64_t stride = header_.geometry.l2_entry_bytes();
    for (std::uint64_t at = 0; at < cluster_size(); at += stride) {
      const HostOffset where = l2 + at;
      const L2Entry entry{word_at(where), 0};
      if (entry.compressed()) {
        mend_word(where, entry.word, false, set);
      } else if (has_space(entry, rules_)) {
        const HostOffset cluster = table_offset(entry.word);
        if (header_.external_data) {
          mend_word(where, entry.word, true, set);
        } else if (has_misplaced_zeros(entry, rules_)) {
          write_word(file_, where, zero_flag);
        } else if (header_.geometry.offset_in_cluster(cluster.value) == 0) {
          mend_flag(where, entry.word, cluster, set);
        }
      }
    }
  }

  // By the refcount that the cluster will have: one that is not lowered may count lost entries.
  void mend_flag(HostOffset where, std::uint64_t word, HostOffset offset, bool set) {
    const std::uint64_t cluster = offset.value / cluster_size();
    if (used(cluster) == 0) return;  // past the end of the file: the entry itself is damaged
    const std::uint64_t stored = some_lost_ ? refcounts_.of(cluster).value_or(0) : 0;
    mend_word(where, word, std::max(used(cluster), stored) == 1, set);
  }

  void mend_word(HostOffset where, std::uint64_t word, bool copied, bool set) const {
    const std::uint64_t right = copied ? word | copied_flag : word & ~copied_flag;
    if (right != word && copied == set) write_word(file_, where, right);
  }

  [[nodiscard]] std::uint64_t word_at(HostOffset where) {
    return load_big_endian<std::uint64_t>(tables_.cached(where, 8), 0);
  }

  const io::File& file_;
  const io::StopFlag& stop_;
  Header header_;
  TableReader tables_;  // as the file was before anything was written
  L2Rules rules_;
  Refcounts refcounts_;
  References used_;
  const bool some_lost_;
  std::set<std::uint64_t> new_blocks_;  // which blocks are needed, by their index in the table
  std::uint64_t new_start_ = 0;         // cluster of the new table; the blocks follow
  std::uint64_t new_table_clusters_ = 0;
};

}  // namespace

void repair(const io::File& file, RepairScope scope, const io::StopFlag& stop) {
  Repairer(file, count_references(file, stop), stop).run(scope);
}

void mark_clean(const io::File& file) {
  const Header header = read_header(file);
  if (!header.dirty && !header.corrupt) return;
  std::array<std::byte, 8> bytes{};
  file.read_at(incompatible_field, bytes);
  const auto features = load_big_endian<std::uint64_t>(bytes, 0);
  write_word(file, {incompatible_field}, features & ~dirty_and_corrupt);
  file.sync();
}

}  // namespace formats::qcow2
