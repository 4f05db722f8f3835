#include "formats/disks/filesystems/ext/free_blocks.hpp"

#include <algorithm>
#include <bit>

#include <fmt/format.h>

#include "formats/bytes/little_endian.hpp"
#include "formats/disks/filesystems/doubt.hpp"
#include "formats/disks/filesystems/free_clusters.hpp"

namespace formats::filesystems::ext {
namespace {

// One bit for each cluster of a group: in use.
class Bits {
 public:
  explicit Bits(std::uint32_t count) : count_(count), words_((count + 63) / 64) {}

  // Ors in a bitmap as it is on the disk, which may be longer.
  void add(std::span<const std::byte> bitmap) {
    for (std::size_t i = 0; i < words_.size(); ++i) {
      if (8 * (i + 1) <= bitmap.size()) {
        words_[i] |= load_little_endian<std::uint64_t>(bitmap, 8 * i);
      } else {  // clusters_per_group is a multiple of 8, not of 64
        for (std::size_t at = 8 * i; at < bitmap.size(); ++at) {
          words_[i] |= std::to_integer<std::uint64_t>(bitmap[at]) << (8 * (at % 8));
        }
      }
    }
  }
  // Gives whether all of [first, end) were set before.
  bool set(std::uint32_t first, std::uint32_t end) {
    bool were_set = true;
    for (std::uint32_t bit = first; bit < end;) {
      const std::uint32_t last = std::min(end, (bit / 64 + 1) * 64);
      const std::uint64_t mask = (~std::uint64_t{0} >> (64 - (last - bit))) << (bit % 64);
      were_set = were_set && (words_[bit / 64] & mask) == mask;
      words_[bit / 64] |= mask;
      bit = last;
    }
    return were_set;
  }
  [[nodiscard]] std::uint32_t clear_count() const {
    std::uint32_t set_count = 0;
    for (std::size_t i = 0; i < words_.size(); ++i) {
      set_count += static_cast<std::uint32_t>(std::popcount(words_[i] & valid(i)));
    }
    return count_ - set_count;
  }
  // Calls use(first, end) for each run of clear bits.
  template <class Use>
  void for_each_clear_run(const Use& use) const {
    for (std::uint32_t first = next(0, false); first < count_;) {
      const std::uint32_t end = next(first, true);
      use(first, end);
      first = next(end, false);
    }
  }

 private:
  [[nodiscard]] std::uint64_t valid(std::size_t word) const {
    const std::uint64_t left = count_ - 64 * word;
    return left >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << left) - 1;
  }
  // The first bit of this value at or behind `from`; count_ when there is none.
  [[nodiscard]] std::uint32_t next(std::uint32_t from, bool value) const {
    while (from < count_) {
      const std::uint64_t word = value ? words_[from / 64] : ~words_[from / 64];
      const std::uint64_t rest = word >> (from % 64);
      if (rest != 0) {
        return std::min(count_, from + static_cast<std::uint32_t>(std::countr_zero(rest)));
      }
      from = (from / 64 + 1) * 64;
    }
    return count_;
  }

  std::uint32_t count_;
  std::vector<std::uint64_t> words_;
};

// Bitmaps in the order of the groups. They mostly lie side by side, so many are read at once.
class BitmapReader {
 public:
  BitmapReader(Blocks& blocks, const std::vector<Group>& groups)
      : blocks_(blocks), groups_(groups) {}

  std::span<const std::byte> read(std::uint32_t number) {
    const std::uint64_t block = groups_[number].block_bitmap;
    if (block < window_.first || block >= window_.end()) fill(number);
    return std::span<const std::byte>(content_).subspan(
        (block - window_.first) * blocks_.block_size(), blocks_.block_size());
  }

 private:
  void fill(std::uint32_t number) {
    constexpr std::uint64_t reach = 16;  // over the bitmaps of groups that have none yet
    const std::uint64_t most = std::max(1U, (1U << 20) / blocks_.block_size());
    const std::uint64_t first = groups_[number].block_bitmap;
    std::uint64_t last = first;
    while (++number < groups_.size()) {
      const Group& group = groups_[number];
      if (group.uninitialised) continue;
      if (group.block_bitmap <= last || group.block_bitmap - last > reach ||
          group.block_bitmap - first >= most) {
        break;
      }
      last = group.block_bitmap;
    }
    window_ = {first, last + 1 - first};
    content_ = blocks_.read(window_);
  }

  Blocks& blocks_;
  const std::vector<Group>& groups_;
  BlockRange window_{};
  std::vector<std::byte> content_;
};

class Sweep {
 public:
  Sweep(Blocks& blocks, const Superblock& super, const std::vector<Group>& groups)
      : blocks_(blocks),
        super_(super),
        groups_(groups),
        bitmaps_(blocks, groups),
        metadata_(metadata_blocks(super, groups)),
        next_metadata_(metadata_.begin()),
        free_(0, super.block_size) {
    if (blocks.any_replaced()) before_ = read_groups_from_disk(blocks, super);
  }

  std::vector<io::ByteRange> run() {
    for (std::uint32_t number = 0; number < groups_.size(); ++number) {
      Bits bits = bits_of(number);
      if (bits.clear_count() != groups_[number].free_clusters) {
        throw Doubt(Reason::damaged,
                    fmt::format("block group {} counts {} free blocks, and its bitmap has {}",
                                number, groups_[number].free_clusters, bits.clear_count()),
                    run_fsck);
      }
      free_clusters_ += groups_[number].free_clusters;
      add_state_before(number, bits);
      emit(number, bits);
    }
    // The superblock's counter is written at unmount only.
    if (!super_.needs_recovery &&
        free_clusters_ * super_.blocks_per_cluster != super_.free_blocks) {
      throw Doubt(Reason::damaged, "its superblock counts other free blocks than its groups",
                  run_fsck);
    }
    return std::move(free_).take();
  }

 private:
  // As they are after the replay; what holds metadata is in use whatever the bitmap says.
  Bits bits_of(std::uint32_t number) {
    Bits bits(super_.clusters(number));
    const Group& group = groups_[number];
    if (!group.uninitialised) {
      const auto bitmap = bitmaps_.read(number);
      check_bitmap(super_, group, number, bitmap);
      bits.add(bitmap.first(super_.clusters_per_group / 8));
    }
    if (!add_metadata(number, bits) && !group.uninitialised) {
      throw Doubt(Reason::damaged,
                  fmt::format("block group {}'s bitmap calls metadata free", number), run_fsck);
    }
    return bits;
  }

  // Gives whether the bits knew it already.
  bool add_metadata(std::uint32_t number, Bits& bits) {
    const std::uint64_t first = super_.first_block(number);
    const std::uint64_t end = super_.end_block(number);
    bool known = true;
    for (; next_metadata_ != metadata_.end() && next_metadata_->first < end; ++next_metadata_) {
      const std::uint64_t from = std::max(next_metadata_->first, first) - first;
      const std::uint64_t to = std::min(next_metadata_->end(), end) - first;
      const std::uint32_t ratio = super_.blocks_per_cluster;
      known = bits.set(static_cast<std::uint32_t>(from / ratio),
                       static_cast<std::uint32_t>((to + ratio - 1) / ratio)) &&
              known;
      if (next_metadata_->end() > end) break;  // goes on in the next group
    }
    return known;
  }

  // A kernel that stops the replay earlier than we do must find its blocks as well.
  void add_state_before(std::uint32_t number, Bits& bits) {
    if (before_.empty() || before_[number].uninitialised) return;
    const std::uint64_t place = before_[number].block_bitmap;
    if (place != groups_[number].block_bitmap) {
      throw Doubt(Reason::damaged, fmt::format("block group {}'s bitmap has moved", number),
                  run_fsck);
    }
    if (!blocks_.is_replaced(place)) return;
    const auto bitmap = blocks_.read_from_disk({place, 1});
    bits.add(std::span(bitmap).first(super_.clusters_per_group / 8));
  }

  void emit(std::uint32_t number, const Bits& bits) {
    bits.for_each_clear_run([&](std::uint32_t from, std::uint32_t to) {
      const std::uint64_t base = super_.first_block(number);
      const std::uint64_t first = base + std::uint64_t{from} * super_.blocks_per_cluster;
      const std::uint64_t end =
          std::min(super_.blocks, base + std::uint64_t{to} * super_.blocks_per_cluster);
      free_.add(first, end - first);
    });
  }

  Blocks& blocks_;
  const Superblock& super_;
  const std::vector<Group>& groups_;
  BitmapReader bitmaps_;
  std::vector<BlockRange> metadata_;
  std::vector<BlockRange>::const_iterator next_metadata_;
  std::vector<Group> before_;
  std::uint64_t free_clusters_ = 0;
  FreeClusters free_;
};

}  // namespace

std::vector<io::ByteRange> free_blocks(Blocks& blocks, const Superblock& super,
                                       const std::vector<Group>& groups) {
  return Sweep(blocks, super, groups).run();
}

}  // namespace formats::filesystems::ext
