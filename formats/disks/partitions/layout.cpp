#include "formats/disks/partitions/layout.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "io/range_map.hpp"

namespace formats::partitions {
namespace {

constexpr std::uint64_t legacy_boot = 4;  // bit 2 of a GPT entry's attributes
constexpr std::size_t most_problems = 20;

// Reads one table after the other and puts together what they say.
class Reader {
 public:
  Reader(DiskView& disk, const LayoutOptions& options) : disk_(disk), options_(options) {
    layout_.disk_size = options.disk_size.value_or(disk.size());
  }

  Layout read() {
    std::vector<std::string> mbr_problems;
    const std::uint64_t mbr_sector = options_.sector_size.value_or(512);
    auto mbr = read_mbr(disk_, mbr_sector, mbr_problems);
    if (mbr && mbr->mentions_gpt()) {
      layout_.mbr = std::move(mbr);
      if (!read_gpt()) doubt("its MBR promises a GPT, but neither copy of that can be used");
    } else if (mbr) {
      layout_.mbr = std::move(mbr);
      layout_.problems = std::move(mbr_problems);
      layout_.trusted = layout_.problems.empty();
      use_mbr();
      warn_of_a_stale_gpt();
    } else if (gpt_sector_size(disk_)) {
      doubt("a GPT is here, but no MBR that protects it: most systems see no partitions");
    }
    judge();
    find_gaps();
    return std::move(layout_);
  }

 private:
  void doubt(std::string text) {
    if (layout_.problems.size() < most_problems) layout_.problems.push_back(std::move(text));
    layout_.trusted = false;
  }

  // What of `range` is on the disk.
  [[nodiscard]] io::ByteRange on_disk(io::ByteRange range) const {
    const std::uint64_t begin = std::min(range.offset, layout_.disk_size);
    return io::range_between(begin, std::min(range.end(), layout_.disk_size));
  }

  void warn_of_a_stale_gpt() {
    if (!gpt_sector_size(disk_)) return;
    doubt("an old GPT lies behind the MBR, which does not mention it");
  }

  void use_mbr() {
    const Mbr& mbr = *layout_.mbr;
    layout_.kind = TableKind::mbr;
    layout_.sector_size = mbr.sector_size;
    layout_.usable = on_disk(io::range_between(mbr.sector_size, layout_.disk_size));
    const auto add = [&](unsigned number, const MbrEntry& entry, bool logical) {
      Partition partition;
      partition.number = number;
      partition.range = {entry.first * mbr.sector_size, entry.count * mbr.sector_size};
      partition.logical = logical;
      partition.bootable = entry.status == 0x80;
      partition.mbr_type = entry.type;
      layout_.partitions.push_back(std::move(partition));
    };
    for (unsigned index = 0; index < mbr.primary.size(); ++index) {
      const MbrEntry& entry = mbr.primary[index];
      if (entry.used() && !entry.extended()) add(index + 1, entry, false);
    }
    if (const MbrEntry* extended = mbr.extended()) {
      layout_.extended = {extended->first * mbr.sector_size, extended->count * mbr.sector_size};
    }
    unsigned number = 5;
    for (const Ebr& ebr : mbr.chain) {
      if (ebr.logical.used()) add(number++, ebr.logical, true);
    }
  }

  [[nodiscard]] std::vector<std::uint64_t> sector_sizes() const {
    if (options_.sector_size) return {*options_.sector_size};
    return {512, 4096};
  }

  bool read_gpt() {
    std::vector<std::string> damage;
    for (const std::uint64_t size : sector_sizes()) {
      std::string problem;
      auto primary = read_gpt_copy(disk_, size, 1, problem);
      if (!problem.empty()) damage.push_back("the primary GPT: " + problem);
      if (!primary) continue;
      use_primary(std::move(*primary));
      return true;
    }
    for (const std::uint64_t size : sector_sizes()) {
      if (layout_.disk_size / size == 0) continue;
      std::string problem;
      auto backup = read_gpt_copy(disk_, size, layout_.disk_size / size - 1, problem);
      if (!problem.empty()) damage.push_back("the backup GPT: " + problem);
      if (!backup) continue;
      for (std::string& text : damage) layout_.problems.push_back(std::move(text));
      use_backup(std::move(*backup));
      return true;
    }
    for (std::string& text : damage) doubt(std::move(text));
    return false;
  }

  void use_primary(GptCopy copy) {
    const std::uint64_t last = layout_.disk_size / copy.table.sector_size - 1;
    std::string problem;
    auto backup = read_gpt_copy(disk_, copy.table.sector_size, copy.other, problem);
    const bool same = backup && backup->table.array == copy.table.array &&
                      backup->table.disk_id == copy.table.disk_id;
    layout_.primary_valid = true;
    layout_.backup_valid = same && copy.other == last;
    if (!problem.empty()) {
      layout_.problems.push_back("the backup GPT: " + problem);
    } else if (!backup) {
      layout_.problems.emplace_back("there is no backup GPT where the primary says");
    } else if (!same) {
      doubt("the two copies of the GPT differ");
    } else if (copy.other != last) {
      layout_.problems.emplace_back("the backup GPT is not at the end of the disk");
    }
    copy.table.primary_entries = copy.entries_at;
    copy.table.backup = copy.other;
    use_gpt(std::move(copy.table));
  }

  void use_backup(GptCopy copy) {
    layout_.backup_valid = true;
    layout_.problems.emplace_back("the primary GPT cannot be used; this is what the backup says");
    Gpt& table = copy.table;
    table.primary_entries = 2;
    if (table.first_usable < 2 + table.array_blocks()) doubt("the GPT leaves itself no space");
    table.backup = copy.header_at;
    use_gpt(std::move(table));
  }

  void use_gpt(Gpt table) {
    const std::uint64_t size = table.sector_size;
    layout_.kind = TableKind::gpt;
    layout_.sector_size = size;
    layout_.usable =
        on_disk(io::range_between(table.first_usable * size, (table.last_usable + 1) * size));
    layout_.mbr->sector_size = size;
    layout_.hybrid = !layout_.mbr->protective();
    for (std::uint32_t index = 0; index < table.entry_count; ++index) {
      GptEntry entry = table.entry(index);
      if (!entry.used()) continue;
      Partition partition;
      partition.number = index + 1;
      partition.range = io::range_between(entry.first * size, (entry.last + 1) * size);
      partition.bootable = (entry.attributes & legacy_boot) != 0;
      partition.type = entry.type;
      partition.id = entry.id;
      partition.attributes = entry.attributes;
      partition.name = std::move(entry.name);
      layout_.partitions.push_back(std::move(partition));
    }
    layout_.gpt = std::move(table);
    for (const MbrEntry& entry : layout_.mbr->primary) check_hybrid(entry);
  }

  // What an old program sees in a hybrid MBR must be one of the GPT's partitions.
  void check_hybrid(const MbrEntry& entry) {
    if (!entry.used() || entry.type == mbr_type_gpt) return;
    const io::ByteRange range{entry.first * layout_.sector_size, entry.count * layout_.sector_size};
    const bool known =
        std::any_of(layout_.partitions.begin(), layout_.partitions.end(),
                    [&](const Partition& partition) { return partition.range == range; });
    if (!known) doubt("the MBR lists a partition that the GPT does not have");
  }

  // Which partitions can be relied on.
  void judge() {
    for (Partition& partition : layout_.partitions) {
      if (partition.range.end() > layout_.disk_size) {
        partition.sound = false;
        doubt(fmt::format("partition {} ends behind the disk's end", partition.number));
      } else if (layout_.gpt && (partition.range.offset < layout_.usable.offset ||
                                 partition.range.end() > layout_.usable.end())) {
        partition.sound = false;
        doubt(fmt::format("partition {} lies outside of what the GPT leaves to partitions",
                          partition.number));
      }
    }
    std::vector<Partition*> by_place;
    by_place.reserve(layout_.partitions.size());
    for (Partition& partition : layout_.partitions) by_place.push_back(&partition);
    std::sort(by_place.begin(), by_place.end(), [](const Partition* a, const Partition* b) {
      return a->range.offset < b->range.offset;
    });
    Partition* farthest = nullptr;
    for (Partition* partition : by_place) {
      if (farthest != nullptr && partition->range.offset < farthest->range.end()) {
        doubt(fmt::format("partitions {} and {} overlap", farthest->number, partition->number));
        farthest->sound = false;
        partition->sound = false;
      }
      if (farthest == nullptr || partition->range.end() > farthest->range.end()) {
        farthest = partition;
      }
    }
  }

  void find_gaps() {
    if (layout_.kind == TableKind::none) {
      layout_.usable = {0, layout_.disk_size};
      return;
    }
    io::RangeMap<bool> owned(layout_.disk_size, true);
    owned.set(layout_.usable, false);
    for (const Partition& partition : layout_.partitions) {
      owned.set(on_disk(partition.range), true);
    }
    for (const auto& entry : owned) {
      if (!entry.value) layout_.gaps.push_back(entry.range);
    }
  }

  DiskView& disk_;
  const LayoutOptions& options_;
  Layout layout_;
};

}  // namespace

std::string Layout::id() const {
  if (gpt) return to_string(gpt->disk_id);
  return kind == TableKind::mbr ? fmt::format("0x{:08x}", mbr->signature()) : "";
}

std::uint64_t Layout::end_of_partitions() const {
  std::uint64_t end = extended ? extended->end() : 0;
  for (const Partition& partition : partitions) end = std::max(end, partition.range.end());
  return end;
}

std::uint64_t Layout::least_size() const {
  if (gpt) return gpt->least_blocks() * sector_size;
  return kind == TableKind::mbr ? end_of_partitions() : disk_size;
}

Layout read_layout(DiskView& disk, const LayoutOptions& options) {
  return Reader(disk, options).read();
}

Layout read_layout_of_disk(DiskView& disk, std::optional<std::uint64_t> sector_size) {
  Layout layout = read_layout(disk);
  if (!sector_size || layout.kind != TableKind::mbr || layout.sector_size == *sector_size) {
    return layout;
  }
  return read_layout(disk, {.sector_size = sector_size});
}

}  // namespace formats::partitions
