#include <algorithm>

#include <fmt/format.h>

#include "formats/disks/filesystems/doubt.hpp"
#include "formats/disks/filesystems/fat/clusters.hpp"
#include "formats/disks/filesystems/fat/remedy.hpp"
#include "formats/disks/filesystems/fat/table.hpp"

namespace formats::filesystems::fat {
namespace {

// The first two entries tell of the volume, not of clusters.
void check_head(const std::vector<std::uint32_t>& entries, Width width) {
  const std::uint32_t all = Entry{0, width}.bad() | 0xf;
  const std::uint32_t media = entries[0] & 0xff;
  if ((entries[0] | 0xff) != all || media < 0xf0) {
    throw Doubt(Reason::damaged, "its file allocation table does not begin as one does",
                remedy_check);
  }
  if (width == Width::fat12) return;
  const std::uint32_t clean = (all + 1) / 2;
  if ((entries[1] & clean) == 0) {
    throw Doubt(Reason::in_use, "is in use, or was not unmounted (the table's dirty mark is set)",
                remedy_unmount);
  }
}

class Scan {
 public:
  Scan(const DiskView& volume, const BootSector& boot)
      : boot_(boot), result_{{boot.first_cluster, boot.cluster_size}, {}} {
    result_.marks.free.resize(boot.clusters + std::size_t{2});
    result_.marks.claimed.resize(boot.clusters + std::size_t{2});
    const std::uint32_t first = boot.only_table.value_or(0);
    const std::uint32_t last = boot.only_table.value_or(boot.tables - 1);
    for (std::uint32_t number = first; number <= last; ++number) {
      tables_.emplace_back(volume, boot, number);
    }
  }

  TableScan run() {
    const std::uint32_t size = tables_.front().size();
    for (std::uint32_t first = 0; first < size; first += Table::piece) {
      const std::uint32_t count = std::min(Table::piece, size - first);
      read_all(first, count);
      if (first == 0) check_head(entries_, boot_.width);
      for (std::uint32_t i = first == 0 ? 2 : 0; i < count; ++i) take(first + i, entries_[i]);
    }
    if (claims_free_one()) {
      throw Doubt(Reason::damaged, "a file goes on in a cluster that the table calls free",
                  remedy_check);
    }
    return std::move(result_);
  }

 private:
  void read_all(std::uint32_t first, std::uint32_t count) {
    tables_.front().read(first, count, entries_);
    for (std::size_t number = 1; number < tables_.size(); ++number) {
      tables_[number].read(first, count, copy_);
      // The dirty mark is in entry 1 and need not be in all copies.
      const std::ptrdiff_t skipped = first == 0 ? 2 : 0;
      if (!std::equal(entries_.begin() + skipped, entries_.end(), copy_.begin() + skipped)) {
        throw Doubt(Reason::damaged, "the copies of its file allocation table differ",
                    remedy_check);
      }
    }
  }

  void take(std::uint32_t cluster, std::uint32_t value) {
    const Entry entry{value, boot_.width};
    if (entry.free()) {
      result_.free.add(cluster - 2, 1);
      result_.marks.free[cluster] = true;
    } else if (entry.has_next()) {
      claim(cluster, value);
    }
  }

  void claim(std::uint32_t cluster, std::uint32_t next) {
    if (!boot_.has(next)) {
      throw Doubt(
          Reason::damaged,
          fmt::format("cluster {} is followed by cluster {}, which does not exist", cluster, next),
          remedy_check);
    }
    if (result_.marks.claimed[next]) {
      throw Doubt(Reason::damaged, fmt::format("two files go on in cluster {}", next),
                  remedy_check);
    }
    result_.marks.claimed[next] = true;
  }

  [[nodiscard]] bool claims_free_one() const {
    const ClusterMarks& marks = result_.marks;
    for (std::size_t i = 0; i < marks.free.size(); ++i) {
      if (marks.free[i] && marks.claimed[i]) return true;
    }
    return false;
  }

  const BootSector& boot_;
  std::vector<Table> tables_;
  std::vector<std::uint32_t> entries_;
  std::vector<std::uint32_t> copy_;
  TableScan result_;
};

}  // namespace

TableScan scan_tables(DiskView& volume, const BootSector& boot) { return Scan(volume, boot).run(); }

}  // namespace formats::filesystems::fat
