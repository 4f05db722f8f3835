#include "formats/disks/partitions/relayout.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <string_view>

#include <fmt/format.h>

#include "formats/disks/partitions/relayout_boot_code.hpp"
#include "formats/disks/partitions/relayout_content.hpp"
#include "formats/disks/partitions/relayout_places.hpp"
#include "io/error.hpp"

namespace formats::partitions {
namespace {

constexpr std::string_view bios_boot_type = "21686148-6449-6e6f-744e-656564454649";
constexpr std::uint8_t recovery_mbr_type = 0x27;  // of Windows
// The logical disk manager of Windows: its database lies behind the last partition or in one of its
// own, and names every volume by its place.
constexpr std::uint8_t ldm_mbr_type = 0x42;
constexpr std::array<std::string_view, 2> ldm_types{"5808c8aa-7e8f-42e0-85d2-e1e90434cfb3",
                                                    "af9b60a0-1431-4f62-bc68-3311714a69ad"};
// FreeBSD, OpenBSD, NetBSD, Solaris, Unix: with a table of slices inside, which may count from the
// beginning of the disk.
constexpr std::array<std::uint8_t, 5> sliced_types{0xa5, 0xa6, 0xa9, 0xbf, 0x63};

template <class Container, class Value>
bool contains(const Container& all, const Value& value) {
  return std::find(all.begin(), all.end(), value) != all.end();
}

class Planner {
 public:
  Planner(DiskView& disk, const Layout& layout, const RelayoutOptions& options)
      : disk_(disk), layout_(layout), options_(options) {
    assert(options.alignment > 0 && options.alignment % layout.sector_size == 0);
  }

  Relayout plan(std::span<const PartitionChange> changes) {
    refuse_what_is_in_doubt();
    if (layout_.kind == TableKind::none) {
      make_whole_disk_wish(changes);
      put_whole_disk();
    } else {
      make_wishes(changes);
      find_what_stays();
      auto places = place_partitions(layout_, wishes_, options_.alignment);
      if (!places) throw refuse("partitions overlap one another or the tables that describe them");
      plan_.placements = std::move(places->placements);
      carry_beginning();
      if (layout_.gpt) {
        write_gpt();
      } else {
        write_mbr(*places);
      }
      list_what_is_left_out();
    }
    for (std::size_t index = 0; index < wishes_.size(); ++index) {
      carry(wishes_[index], plan_.placements[index]);
    }
    finish();
    return std::move(plan_);
  }

 private:
  [[nodiscard]] io::Error refuse(const std::string& why) const {
    return io::Error::refusal(disk_.name(), why);
  }

  void refuse_what_is_in_doubt() const {
    if (disk_.size() != layout_.disk_size) throw refuse("its table was read for another size");
    if (layout_.kind == TableKind::none && layout_.problems.empty()) return;
    if (layout_.kind == TableKind::none || !layout_.trusted) {
      throw refuse(
          fmt::format("its partition table is in doubt: {}; make it right first (fdisk, gdisk)",
                      layout_.problems.empty() ? "it does not add up" : layout_.problems.back()));
    }
    if (layout_.hybrid) {
      throw refuse(
          "its GPT has an MBR with partitions of its own (a hybrid one), of which it cannot be "
          "told "
          "which counts; make it a protective one first (gdisk: x, n, w)");
    }
    if (layout_.partitions.empty()) throw refuse("its partition table has no partitions");
    for (const Partition& partition : layout_.partitions) {
      const bool ldm = layout_.gpt ? contains(ldm_types, to_string(partition.type))
                                   : partition.mbr_type == ldm_mbr_type;
      if (!ldm) continue;
      throw refuse(fmt::format(
          "partition {} belongs to a dynamic disk of Windows (LDM), which names its volumes by "
          "their places; make it a basic disk first",
          partition.number));
    }
  }

  // Checks one change against what there is.
  void apply(Wish& wish, const PartitionChange& change) const {
    const std::string what =
        wish.number == 0 ? "the disk" : fmt::format("partition {}", wish.number);
    if (change.length == 0) throw refuse(what + " cannot become nothing");
    if (change.length > wish.old.length) {
      throw refuse(fmt::format("{} has {} bytes, and cannot grow to {}", what, wish.old.length,
                               change.length));
    }
    // An image of odd length without a table ends where it ends.
    wish.length = std::min(io::align_up(change.length, layout_.sector_size), wish.old.length);
    wish.carry = change.carry;
    if (change.may_move) return;
    wish.stays = change.why_not.empty() ? "it must not be moved" : change.why_not;
  }

  void apply_all(std::span<const PartitionChange> changes) {
    std::vector<unsigned> seen;
    seen.reserve(changes.size());
    for (const PartitionChange& change : changes) {
      const auto wish = std::find_if(wishes_.begin(), wishes_.end(), [&](const Wish& each) {
        return each.number == change.number;
      });
      if (wish == wishes_.end()) {
        throw refuse(fmt::format("it has no partition {}", change.number));
      }
      if (contains(seen, change.number)) {
        throw refuse(fmt::format("partition {} is to change in two ways", change.number));
      }
      seen.push_back(change.number);
      apply(*wish, change);
    }
  }

  void make_whole_disk_wish(std::span<const PartitionChange> changes) {
    if (layout_.disk_size == 0) throw refuse("it is empty");
    Wish wish;
    wish.old = {0, layout_.disk_size};
    wish.length = layout_.disk_size;
    wishes_.push_back(std::move(wish));
    apply_all(changes);
  }

  void make_wishes(std::span<const PartitionChange> changes) {
    wishes_.reserve(layout_.partitions.size());
    for (const Partition& partition : layout_.partitions) {
      Wish wish;
      wish.old = partition.range;
      wish.number = partition.number;
      wish.logical = partition.logical;
      wish.length = partition.range.length;
      wishes_.push_back(std::move(wish));
    }
    apply_all(changes);
  }

  // --- what must not move ---

  [[nodiscard]] static bool lies_before(const Wish& a, const Wish& b) {
    return a.old.offset < b.old.offset;
  }

  void find_what_stays() {
    const auto stay = [](Wish& wish, std::string_view why) {
      if (wish.stays.empty()) wish.stays = why;
    };
    stay(*std::min_element(wishes_.begin(), wishes_.end(), lies_before),
         "it is the first partition, and boot loaders rely on what is before it");
    const BootCode code = find_boot_code(disk_, layout_);
    for (std::size_t index = 0; index < wishes_.size(); ++index) {
      const Partition& partition = layout_.partitions[index];
      Wish& wish = wishes_[index];
      const bool recovery = partition.mbr_type == recovery_mbr_type && !partition.bootable;
      if (options_.windows_mbr && layout_.kind == TableKind::mbr && !recovery) {
        stay(wish, "Windows finds what it boots from an MBR by its place on the disk");
      }
      if (layout_.gpt && to_string(partition.type) == bios_boot_type) {
        stay(wish, "it holds a boot loader that is found by its place on the disk");
      }
      if (!layout_.gpt && contains(sliced_types, partition.mbr_type)) {
        stay(wish, "the slices in it may be counted from the beginning of the disk");
      }
      if (code.lilo) stay(wish, "LILO finds its files by their places on the disk");
    }
    for (const io::ByteRange& range : code.addressed) pin(range);
  }

  // What boot code reads by sector numbers has to be where it was.
  void pin(io::ByteRange range) {
    const auto first = std::min_element(wishes_.begin(), wishes_.end(), lies_before);
    io::ByteRange rest = range_behind(range, first->old.offset);
    for (Wish& wish : wishes_) {
      const io::ByteRange inside = io::intersection(range, wish.old);
      if (inside.empty()) continue;
      rest.length -= inside.length;
      if (wish.stays.empty()) wish.stays = "boot code on the disk reads sectors of it by number";
      if (inside.end() <= wish.old.offset + wish.length) continue;
      throw refuse(
          fmt::format("boot code on the disk (GRUB) reads sectors of partition {} that would be "
                      "cut off, at {}; install the boot loader anew first (grub-install)",
                      wish.number, inside.offset));
    }
    if (rest.empty()) return;
    throw refuse(fmt::format(
        "boot code on the disk (GRUB) reads sectors that belong to no partition, at {}; install "
        "the boot loader anew first (grub-install)",
        range.offset));
  }

  [[nodiscard]] static io::ByteRange range_behind(io::ByteRange range, std::uint64_t begin) {
    return io::range_between(std::max(range.offset, begin), range.end());
  }

  // --- the new disk ---

  void put_whole_disk() {
    const Wish& wish = wishes_.front();
    plan_.placements.push_back({0, 0, 0, wish.old.length, wish.length, ""});
    set_size(wish.length);
  }

  // A disk ends where its partitions would be aligned, unless it was shorter.
  void set_size(std::uint64_t least) {
    const std::uint64_t aligned = io::align_up(least, options_.alignment);
    const std::uint64_t old = layout_.kind == TableKind::none
                                  ? layout_.disk_size
                                  : io::align_down(layout_.disk_size, layout_.sector_size);
    plan_.disk_size = least <= old ? std::min(aligned, old) : aligned;
  }

  void carry_beginning() {
    const auto first = std::min_element(wishes_.begin(), wishes_.end(), lies_before);
    plan_.carried.push_back({{0, first->old.offset}, 0});
  }

  void write_gpt() {
    Gpt table = *layout_.gpt;
    const std::uint64_t size = table.sector_size;
    for (const Placement& placement : plan_.placements) {
      const std::uint64_t first = placement.new_start / size;
      table.set_range(placement.number - 1, first, first + placement.new_length / size - 1);
    }
    set_size(table.least_blocks() * size);
    table.fit(plan_.disk_size / size);
    Mbr mbr = *layout_.mbr;
    mbr.protect(plan_.disk_size / size);
    plan_.patches.push_back(mbr.patches().front());
    for (auto& patch : table.primary_patches()) plan_.patches.push_back(std::move(patch));
    for (auto& patch : table.backup_patches()) plan_.patches.push_back(std::move(patch));
  }

  void write_mbr(const Places& places) {
    Mbr mbr = *layout_.mbr;
    const std::uint64_t size = mbr.sector_size;
    const auto put = [&](MbrEntry& entry, std::uint64_t start, std::uint64_t length) {
      entry.first = start / size;
      entry.count = length / size;
    };
    for (std::size_t link = 0; link < mbr.chain.size(); ++link) {
      Ebr& ebr = mbr.chain[link];
      ebr.sector = places.ebrs[link] / size;
      if (!ebr.logical.used()) ebr.logical.first += ebr.sector - ebr.found_at;
    }
    const MbrEntry* extended = mbr.extended();
    if (extended != nullptr) {
      put(mbr.primary[static_cast<std::size_t>(extended - mbr.primary.data())],
          places.extended->offset, places.extended->length);
    }
    for (const Placement& placement : plan_.placements) {
      put(entry_of(mbr, placement.number), placement.new_start, placement.new_length);
    }
    for (auto& patch : mbr.patches()) plan_.patches.push_back(std::move(patch));
    set_size(places.end);
  }

  [[nodiscard]] static MbrEntry& entry_of(Mbr& mbr, unsigned number) {
    if (number <= mbr.primary.size()) return mbr.primary[number - 1];
    unsigned next = 5;
    const auto found = std::find_if(mbr.chain.begin(), mbr.chain.end(), [&](const Ebr& ebr) {
      return ebr.logical.used() && next++ == number;
    });
    assert(found != mbr.chain.end());
    return found->logical;
  }

  void carry(const Wish& wish, const Placement& placement) {
    if (wish.carry == Carry::nothing) return;
    if (wish.carry == Carry::swap_header) {
      std::string problem;
      auto header = swap_header(disk_, wish.old, wish.length, problem);
      if (!header) {
        throw refuse(
            fmt::format("partition {} cannot become a fresh swap area: {}", wish.number, problem));
      }
      header->offset = placement.new_start;
      plan_.patches.push_back(std::move(*header));
      return;
    }
    plan_.carried.push_back({{wish.old.offset, wish.length}, placement.new_start});
    for (auto& patch : moved_boot_sectors(disk_, placement, wish.logical, layout_.sector_size)) {
      plan_.patches.push_back(std::move(patch));
    }
  }

  // --- what does not come along ---

  void list_what_is_left_out() {
    const auto first = std::min_element(wishes_.begin(), wishes_.end(), lies_before);
    for (const io::ByteRange& gap : layout_.gaps) {
      std::uint64_t begin = std::max(gap.offset, first->old.offset);
      for (const std::uint64_t table : tables_of_chain()) {
        if (table < begin || table >= gap.end()) continue;
        leave_out(io::range_between(begin, table));
        begin = table + layout_.sector_size;
      }
      leave_out(io::range_between(begin, gap.end()));
    }
  }

  [[nodiscard]] std::vector<std::uint64_t> tables_of_chain() const {
    std::vector<std::uint64_t> places;
    if (layout_.gpt) return places;
    places.reserve(layout_.mbr->chain.size());
    for (const Ebr& ebr : layout_.mbr->chain) places.push_back(ebr.sector * layout_.sector_size);
    std::sort(places.begin(), places.end());
    return places;
  }

  void leave_out(io::ByteRange range) {
    if (!range.empty() && holds_something(range)) plan_.left_out.push_back(range);
  }

  // Whether any byte is not zero, as far as that can be told by reading a little.
  [[nodiscard]] bool holds_something(io::ByteRange range) {
    constexpr std::uint64_t most_read = 16 * io::MiB, step = 256 * io::KiB;
    std::uint64_t left = most_read;
    for (std::uint64_t at = range.offset; at < range.end();) {
      const io::Extent extent = disk_.source().extent_at(disk_.begin() + at);
      const std::uint64_t until =
          std::min({extent.range.end() - disk_.begin(), range.end(), at + step});
      if (extent.reads_as_zero()) {
        at = std::min(extent.range.end() - disk_.begin(), range.end());
        continue;
      }
      if (until - at > left) return true;
      left -= until - at;
      const auto bytes = disk_.read(at, until - at);
      const auto is_zero = [](std::byte value) { return value == std::byte{0}; };
      if (!std::all_of(bytes.begin(), bytes.end(), is_zero)) return true;
      at = until;
    }
    return false;
  }

  // --- the end ---

  void finish() {
    auto& carried = plan_.carried;
    std::erase_if(carried, [](const CarriedRange& each) { return each.from.empty(); });
    std::sort(carried.begin(), carried.end(),
              [](const CarriedRange& a, const CarriedRange& b) { return a.to < b.to; });
    std::vector<CarriedRange> merged;
    merged.reserve(carried.size());
    for (const CarriedRange& each : carried) {
      const bool follows = !merged.empty() && merged.back().from.end() == each.from.offset &&
                           merged.back().to + merged.back().from.length == each.to;
      if (follows) {
        merged.back().from.length += each.from.length;
      } else {
        merged.push_back(each);
      }
    }
    carried = std::move(merged);
  }

  DiskView& disk_;
  const Layout& layout_;
  const RelayoutOptions& options_;
  std::vector<Wish> wishes_;  // as layout_.partitions
  Relayout plan_;
};

}  // namespace

Relayout plan_relayout(DiskView& disk, const Layout& layout,
                       std::span<const PartitionChange> changes, const RelayoutOptions& options) {
  return Planner(disk, layout, options).plan(changes);
}

}  // namespace formats::partitions
