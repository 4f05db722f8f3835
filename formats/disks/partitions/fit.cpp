#include "formats/disks/partitions/fit.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "io/error.hpp"
#include "io/range_map.hpp"
#include "io/zero_run.hpp"

namespace formats::partitions {
namespace {

constexpr std::uint64_t most_mbr_sectors = std::uint64_t{1} << 32;

io::Error cannot_grow(const DiskView& content, const std::string& why) {
  return {io::ErrorKind::refused, content.name(),
          fmt::format("the last partition cannot grow: {}; burn without --grow-last", why)};
}

class Fitter {
 public:
  Fitter(DiskView& content, const Layout& layout, const FitOptions& options)
      : content_(content), layout_(layout), options_(options), wiped_(options.disk_size, false) {}

  Fit fit() {
    if (layout_.gpt && blocks() < layout_.gpt->least_blocks()) {
      const char* why = "its partitions need a larger disk";
      if (options_.grow_last) throw cannot_grow(content_, why);
      fit_.kept_because = why;
    } else if (layout_.gpt) {
      fit_gpt(*layout_.gpt, *layout_.mbr);
    } else if (layout_.kind == TableKind::mbr) {
      if (options_.grow_last) grow_mbr(*layout_.mbr);
    } else if (options_.grow_last) {
      throw cannot_grow(content_, layout_.problems.empty() ? "there is no partition table"
                                                           : layout_.problems.front());
    } else if (!layout_.problems.empty()) {
      fit_.kept_because = layout_.problems.front();
    }
    return std::move(fit_);
  }

 private:
  [[nodiscard]] std::uint64_t blocks() const { return options_.disk_size / layout_.sector_size; }

  // The last partition: the one that ends last.
  [[nodiscard]] const Partition& last_partition() const {
    if (layout_.partitions.empty()) throw cannot_grow(content_, "there is none");
    const Partition& last = *std::max_element(
        layout_.partitions.begin(), layout_.partitions.end(),
        [](const Partition& a, const Partition& b) { return a.range.end() < b.range.end(); });
    if (!last.sound) throw cannot_grow(content_, layout_.problems.front());
    return last;
  }

  // Where a partition ends that takes all up to `limit`: on a MiB, as partitioners do it.
  [[nodiscard]] static std::uint64_t grown_end(const Partition& last, std::uint64_t limit) {
    return std::max(last.range.end(), io::align_down(limit, io::MiB));
  }

  void note_growth(const Partition& last, std::uint64_t end) {
    fit_.growth = Growth{last.number, last.range.length, end - last.range.offset};
  }

  void fit_gpt(Gpt table, Mbr mbr) {
    const bool was_hybrid = layout_.hybrid;
    table.fit(blocks());
    if (options_.grow_last) grow_gpt(table, mbr);
    if (!was_hybrid) mbr.protect(blocks());
    fit_.primary_left =
        !layout_.primary_valid && !options_.over_other_content && has_other_content(*layout_.gpt);
    fit_.primary_restored = !layout_.primary_valid && !fit_.primary_left;
    if (!fit_.primary_left) {
      for (const auto& patch : table.primary_patches()) put(patch);
    }
    const auto backup = table.backup_patches();
    const std::size_t before = fit_.patches.size();
    for (const auto& patch : backup) put(patch);
    fit_.backup_moved = fit_.patches.size() > before;
    const std::uint64_t backup_begin = (table.backup - table.array_blocks()) * table.sector_size;
    wipe_old_copy(layout_.gpt->backup, backup_begin);
    const std::uint64_t content_blocks = content_.size() / layout_.sector_size;
    if (content_blocks > 0) wipe_old_copy(content_blocks - 1, backup_begin);
    for (const auto& entry : wiped_) {
      if (!entry.value) continue;
      fit_.wiped.push_back(entry.range);
      put({entry.range.offset, std::vector<std::byte>(entry.range.length)});
    }
    put(mbr.patches().front());
  }

  // In the place of the primary: no header, or bytes in entries that the backup does not use.
  [[nodiscard]] bool has_other_content(const Gpt& backup) {
    const auto header = content_.read(backup.sector_size, backup.sector_size);
    if (!has_header_signature(header) && !io::is_zero(header)) return true;
    const auto array =
        content_.read(backup.primary_entries * backup.sector_size, backup.array.size());
    for (std::uint32_t index = 0; index < backup.entry_count; ++index) {
      const auto entry =
          std::span(array).subspan(std::size_t{index} * backup.entry_size, backup.entry_size);
      if (!backup.entry(index).used() && !io::is_zero(entry)) return true;
    }
    return false;
  }

  void grow_gpt(Gpt& table, Mbr& mbr) {
    const Partition& last = last_partition();
    const std::uint64_t size = table.sector_size;
    const std::uint64_t end = grown_end(last, (table.last_usable + 1) * size);
    note_growth(last, end);
    table.set_range(last.number - 1, last.range.offset / size, end / size - 1);
    for (MbrEntry& entry : mbr.primary) {
      const bool same = entry.used() && entry.type != mbr_type_gpt &&
                        entry.first * size == last.range.offset &&
                        entry.count * size == last.range.length;
      if (same) entry.count = std::min(end / size - entry.first, most_mbr_sectors - 1);
    }
  }

  void grow_mbr(Mbr mbr) {
    const Partition& last = last_partition();
    const std::uint64_t size = mbr.sector_size;
    const std::uint64_t end = grown_end(last, std::min(blocks(), most_mbr_sectors - 1) * size);
    if (layout_.extended && !last.logical && layout_.extended->end() > last.range.end()) {
      throw cannot_grow(content_, "an extended partition lies behind it");
    }
    note_growth(last, end);
    const std::uint64_t sectors = end / size;
    for (MbrEntry& entry : mbr.primary) {
      const bool itself = entry.used() && !last.logical && entry.first * size == last.range.offset;
      const bool around = last.logical && &entry == mbr.extended();
      if (itself || (around && entry.end() < sectors)) entry.count = sectors - entry.first;
    }
    for (Ebr& ebr : mbr.chain) {
      const bool itself = last.logical && ebr.logical.first * size == last.range.offset;
      if (itself) ebr.logical.count = sectors - ebr.logical.first;
    }
    for (const auto& patch : mbr.patches()) put(patch);
  }

  // What looks like a GPT header at `block` of the content, with its entries: no part of the table
  // any more, and a trap for programs that look for one.
  void wipe_old_copy(std::uint64_t block, std::uint64_t new_backup) {
    const std::uint64_t size = layout_.sector_size;
    std::string problem;
    if (block <= 1) return;
    const auto copy = read_gpt_copy(content_, size, block, problem);
    if (!copy && problem.empty()) return;
    wipe({block * size, size}, new_backup);
    if (!copy) return;
    wipe({copy->entries_at * size, copy->table.array_blocks() * size}, new_backup);
  }

  void wipe(io::ByteRange range, std::uint64_t new_backup) {
    range = io::range_between(range.offset, std::min(range.end(), new_backup));
    if (range.empty() || range.offset < layout_.usable.offset) return;
    for (const Partition& partition : layout_.partitions) {
      if (!io::intersection(range, partition.range).empty()) return;
    }
    wiped_.set(range, true);
  }

  // Only what differs has to be written.
  void put(const io::Patch& patch) {
    const io::ByteRange range = patch.range();
    if (content_.holds(range.offset, range.length) &&
        content_.read(range.offset, range.length) == patch.bytes) {
      return;
    }
    fit_.patches.push_back(patch);
  }

  DiskView& content_;
  const Layout& layout_;
  FitOptions options_;
  Fit fit_;
  io::RangeMap<bool> wiped_;
};

}  // namespace

Fit fit_to_disk(DiskView& content, const Layout& layout, const FitOptions& options) {
  return Fitter(content, layout, options).fit();
}

std::vector<io::ByteRange> stray_backup(DiskView& disk, std::uint64_t from) {
  std::vector<io::ByteRange> found;
  for (const std::uint64_t size : {512U, 4096U}) {
    if (disk.size() / size <= 1) continue;
    const std::uint64_t block = disk.size() / size - 1;
    std::string problem;
    const auto copy = read_gpt_copy(disk, size, block, problem);
    if ((!copy && problem.empty()) || block * size < from) continue;
    if (copy && copy->entries_at * size >= from) {
      found.push_back({copy->entries_at * size, copy->table.array_blocks() * size});
    }
    found.push_back({block * size, size});
  }
  return found;
}

std::string sector_conflict(const Layout& layout, std::uint64_t sector_size) {
  if (layout.gpt && layout.sector_size != sector_size) {
    return fmt::format(
        "its GPT counts in sectors of {} bytes, the disk has sectors of {}: no system would find "
        "the partitions",
        layout.sector_size, sector_size);
  }
  if (layout.kind != TableKind::mbr || layout.sector_size == sector_size) return "";
  const std::uint64_t ratio = sector_size / layout.sector_size;
  const bool fits = layout.end_of_partitions() <= layout.disk_size;
  if (!fits || ratio == 0 || layout.end_of_partitions() <= layout.disk_size / ratio) return "";
  return fmt::format(
      "its MBR counts in sectors of {} bytes, the disk has sectors of {}: no system would find the "
      "partitions",
      layout.sector_size, sector_size);
}

}  // namespace formats::partitions
