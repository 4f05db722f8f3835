#include "formats/disks/partitions/relayout_places.hpp"

#include <algorithm>
#include <cassert>
#include <numeric>

#include <fmt/format.h>

namespace formats::partitions {
namespace {

// A logical partition, and the sector of the chain that describes it.
struct Link {
  std::size_t wish = 0;   // its index
  std::size_t chain = 0;  // and that of its sector
};

class Placer {
 public:
  Placer(const Layout& layout, std::vector<Wish>& wishes, std::uint64_t alignment)
      : layout_(layout), wishes_(wishes), alignment_(alignment) {
    places_.placements.resize(wishes.size());
    by_place_.resize(wishes.size());
    std::iota(by_place_.begin(), by_place_.end(), std::size_t{0});
    std::sort(by_place_.begin(), by_place_.end(), [&](std::size_t a, std::size_t b) {
      return wishes_[a].old.offset < wishes_[b].old.offset;
    });
    if (layout.mbr && layout.kind == TableKind::mbr) find_links();
  }

  std::optional<Places> place() {
    if (!is_disjoint()) return std::nullopt;
    decide_who_stays();
    std::uint64_t cursor = layout_.usable.offset;
    bool extended_is_next = layout_.extended.has_value();
    for (const std::size_t index : by_place_) {
      const Wish& wish = wishes_[index];
      if (extended_is_next && layout_.extended->offset <= wish.old.offset) {
        cursor = place_extended(cursor);
        extended_is_next = false;
      }
      if (wish.logical) continue;
      cursor = put(index, cursor);
    }
    if (extended_is_next) cursor = place_extended(cursor);
    places_.end = cursor;
    return std::move(places_);
  }

 private:
  [[nodiscard]] const std::vector<Ebr>& chain() const { return layout_.mbr->chain; }
  [[nodiscard]] std::uint64_t ebr_at(std::size_t link) const {
    return chain()[link].sector * layout_.sector_size;
  }

  // Logical partitions have the numbers from 5 on, as their links follow one another.
  void find_links() {
    unsigned number = 5;
    for (std::size_t link = 0; link < chain().size(); ++link) {
      places_.ebrs.push_back(ebr_at(link));
      if (!chain()[link].logical.used()) continue;
      const auto found = std::find_if(wishes_.begin(), wishes_.end(),
                                      [&](const Wish& wish) { return wish.number == number; });
      assert(found != wishes_.end());
      links_.push_back({static_cast<std::size_t>(found - wishes_.begin()), link});
      ++number;
    }
    std::sort(links_.begin(), links_.end(), [&](const Link& a, const Link& b) {
      return wishes_[a.wish].old.offset < wishes_[b.wish].old.offset;
    });
  }

  // What the checks of a layout do not look at: the extended partition among the others, the
  // tables inside of partitions.
  [[nodiscard]] bool is_disjoint() const {
    for (const Wish& wish : wishes_) {
      if (wish.old.offset < layout_.usable.offset) return false;
      const bool inside =
          layout_.extended && !io::intersection(wish.old, *layout_.extended).empty();
      if (inside != wish.logical) return false;
      for (const std::uint64_t ebr : places_.ebrs) {
        if (!io::intersection(wish.old, {ebr, layout_.sector_size}).empty()) return false;
      }
    }
    return !layout_.extended || (layout_.extended->offset >= layout_.usable.offset &&
                                 layout_.extended->end() <= layout_.disk_size);
  }

  // Each link but the first lies between its partition and the one before, as everybody writes it.
  [[nodiscard]] bool is_regular() const {
    std::uint64_t end = layout_.extended->offset + layout_.sector_size;
    for (std::size_t link = 1; link < chain().size(); ++link) {
      if (!chain()[link].logical.used()) return false;
    }
    for (const Link& link : links_) {
      const io::ByteRange& old = wishes_[link.wish].old;
      if (link.chain != 0 && (ebr_at(link.chain) < end || ebr_at(link.chain) >= old.offset)) {
        return false;
      }
      end = old.end();
    }
    return true;
  }

  // Before a partition that stays nothing would be won.
  void decide_who_stays() {
    regular_ = !layout_.extended || is_regular();
    if (!regular_) {
      for (const Link& link : links_) {
        stay(wishes_[link.wish], "the chain of logical partitions is an unusual one");
      }
      extended_stays_ = true;
    }
    const bool extended_is_first =
        layout_.extended &&
        (by_place_.empty() || layout_.extended->offset < wishes_[by_place_.front()].old.offset);
    extended_stays_ = extended_stays_ || extended_is_first;
    unsigned behind = 0;
    for (auto index = by_place_.rbegin(); index != by_place_.rend(); ++index) {
      Wish& wish = wishes_[*index];
      if (behind != 0) {
        stay(wish, fmt::format("partition {} behind it stays, so nothing would be won", behind));
      }
      if (wish.stays.empty()) continue;
      behind = wish.number;
      if (layout_.extended && layout_.extended->offset <= wish.old.offset) extended_stays_ = true;
    }
    if (extended_stays_) stay_before_the_extended();
  }

  void stay_before_the_extended() {
    for (Wish& wish : wishes_) {
      if (wish.old.offset < layout_.extended->offset) {
        stay(wish, "the extended partition behind it stays, so nothing would be won");
      }
    }
  }

  static void stay(Wish& wish, std::string why) {
    if (wish.stays.empty()) wish.stays = std::move(why);
  }

  // Where something goes that lies at `old` and could begin from `least` on.
  [[nodiscard]] std::uint64_t lowest(std::uint64_t old, std::uint64_t least) const {
    return std::min(old, io::align_up(least, alignment_));
  }

  // Gives where it ends.
  std::uint64_t put(std::size_t index, std::uint64_t least) {
    const Wish& wish = wishes_[index];
    const std::uint64_t low = lowest(wish.old.offset, least);
    const bool stays = !wish.stays.empty();
    Placement& placement = places_.placements[index];
    placement.number = wish.number;
    placement.old_start = wish.old.offset;
    placement.old_length = wish.old.length;
    placement.new_length = wish.length;
    placement.new_start = stays ? wish.old.offset : low;
    if (stays && low < wish.old.offset) placement.why_not_moved = wish.stays;
    return placement.new_start + placement.new_length;
  }

  // With all that is in it. Gives where it ends.
  std::uint64_t place_extended(std::uint64_t least) {
    const io::ByteRange old = *layout_.extended;
    const std::uint64_t start = extended_stays_ ? old.offset : lowest(old.offset, least);
    if (!places_.ebrs.empty()) places_.ebrs.front() = start;
    std::uint64_t end = start + layout_.sector_size;
    for (const Link& link : links_) end = put_logical(link, start, end);
    if (!regular_) {
      for (const std::uint64_t ebr : places_.ebrs) end = std::max(end, ebr + layout_.sector_size);
    }
    if (links_.empty()) end = std::max(end, start + std::min(old.length, alignment_));
    places_.extended = io::range_between(start, end);
    return end;
  }

  // Behind `end`, with its link as far before it as it was, but no farther than is usual.
  std::uint64_t put_logical(const Link& link, std::uint64_t extended, std::uint64_t end) {
    const std::uint64_t old = wishes_[link.wish].old.offset;
    const std::uint64_t ebr = ebr_at(link.chain);
    const std::uint64_t gap = old > ebr ? std::min(old - ebr, alignment_) : layout_.sector_size;
    const bool first = link.chain == 0;
    const std::uint64_t least = first ? std::max(end, extended + gap) : end + gap;
    const std::uint64_t behind = put(link.wish, least);
    const Placement& placement = places_.placements[link.wish];
    if (!first && placement.moved()) places_.ebrs[link.chain] = placement.new_start - gap;
    return behind;
  }

  const Layout& layout_;
  std::vector<Wish>& wishes_;
  std::uint64_t alignment_;
  std::vector<std::size_t> by_place_;  // indexes of wishes
  std::vector<Link> links_;            // as they lie on the disk
  bool regular_ = true;
  bool extended_stays_ = false;
  Places places_;
};

}  // namespace

std::optional<Places> place_partitions(const Layout& layout, std::vector<Wish>& wishes,
                                       std::uint64_t alignment) {
  return Placer(layout, wishes, alignment).place();
}

}  // namespace formats::partitions
