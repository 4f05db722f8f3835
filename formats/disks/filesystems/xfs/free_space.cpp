#include "formats/disks/filesystems/xfs/free_space.hpp"

#include <fmt/format.h>

#include "formats/bytes/big_endian.hpp"
#include "formats/disks/filesystems/doubt.hpp"
#include "formats/disks/filesystems/xfs/ag_tree.hpp"
#include "formats/disks/filesystems/xfs/words.hpp"

namespace formats::filesystems::xfs {
namespace {

using Bytes = std::span<const std::byte>;

// Offsets in the header of an AG's free space (struct xfs_agf), by the names of its fields.
enum AgfField : std::size_t {
  agf_magicnum = 0,
  agf_versionnum = 4,
  agf_seqno = 8,
  agf_length = 12,
  agf_bno_root = 16,
  agf_cnt_root = 20,
  agf_rmap_root = 24,
  agf_bno_level = 28,
  agf_cnt_level = 32,
  agf_flcount = 48,
  agf_freeblks = 52,
  agf_longest = 56,
  agf_btreeblks = 60,
  agf_uuid = 64,
  agf_refcount_root = 88,
  agf_crc = 216,
};

struct Agf {
  std::uint32_t bno_root = 0;
  std::uint32_t bno_level = 0;
  std::uint32_t cnt_root = 0;
  std::uint32_t cnt_level = 0;
  std::uint32_t flcount = 0;
  std::uint32_t freeblks = 0;
  std::uint32_t longest = 0;
  std::uint32_t btreeblks = 0;
  std::vector<std::uint32_t> other_roots;  // of the trees that are not walked
};

[[noreturn]] void damaged(std::uint32_t ag, std::string_view what) {
  throw Doubt(Reason::damaged,
              fmt::format("the free space of its allocation group {} is damaged: {}", ag, what),
              std::string(repair));
}

Agf parse_agf(Bytes sector, const Geometry& geometry, std::uint32_t ag) {
  const auto u32 = [&](AgfField at) { return load_big_endian<std::uint32_t>(sector, at); };
  const auto check = [&](bool holds, std::string_view what) {
    if (!holds) damaged(ag, what);
  };
  check(u32(agf_magicnum) == 0x58414746 && u32(agf_versionnum) == 1, "no header");
  if (geometry.is_v5) {
    check(has_right_checksum(sector, agf_crc), "wrong checksum of the header");
    check(equals(sector.subspan(agf_uuid, 16), geometry.metadata_uuid),
          "a header with another uuid");
  }
  check(u32(agf_seqno) == ag && u32(agf_length) == geometry.length(ag),
        "a header of another group");

  Agf agf;
  agf.bno_root = u32(agf_bno_root);
  agf.bno_level = u32(agf_bno_level);
  agf.cnt_root = u32(agf_cnt_root);
  agf.cnt_level = u32(agf_cnt_level);
  agf.flcount = u32(agf_flcount);
  agf.freeblks = u32(agf_freeblks);
  agf.longest = u32(agf_longest);
  agf.btreeblks = u32(agf_btreeblks);
  if (geometry.has_rmapbt) agf.other_roots.push_back(u32(agf_rmap_root));
  if (geometry.has_refcountbt) agf.other_roots.push_back(u32(agf_refcount_root));
  check(agf.freeblks <= geometry.length(ag) && agf.flcount <= geometry.sector_size / 4 &&
            agf.btreeblks <= geometry.length(ag),
        "impossible counts");
  return agf;
}

// Reads what is next to each other in one go: the trees' roots usually follow the headers.
Agf read_agf(DiskView& volume, const Geometry& geometry, std::uint32_t ag) {
  constexpr std::uint32_t largest_worthwhile = 16384;
  const std::uint64_t begin = geometry.first_block(ag) * geometry.block_size;
  if (geometry.block_size <= largest_worthwhile) {
    (void)volume.read(begin, std::size_t{4} * (geometry.block_size + geometry.sector_size));
  }
  return parse_agf(volume.read(begin + geometry.sector_size, geometry.sector_size), geometry, ag);
}

// Order does not matter: the trees give the same extents in two orders.
class Fingerprint {
 public:
  void add(std::uint32_t start, std::uint32_t length) {
    std::uint64_t mixed = (std::uint64_t{start} << 32 | length) + 0x9e3779b97f4a7c15;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
    sum_ += mixed ^ (mixed >> 31);
    ++count_;
  }
  friend bool operator==(const Fingerprint&, const Fingerprint&) = default;

 private:
  std::uint64_t sum_ = 0;
  std::uint64_t count_ = 0;
};

class GroupReader {
 public:
  GroupReader(DiskView& volume, const Geometry& geometry, std::uint32_t ag, FreeSpace& into)
      : volume_(volume),
        geometry_(geometry),
        ag_(ag),
        into_(into),
        agf_(read_agf(volume, geometry, ag)) {}

  void run() {
    AgTree by_place(volume_, geometry_, ag_, bnobt);
    Extent previous;
    by_place.walk(agf_.bno_root, agf_.bno_level, [&](Bytes record) {
      const Extent extent = extent_from(record, by_place);
      by_place.check(extent.start >= previous.start + previous.length, "order of the extents");
      previous = extent;
      add(extent.start, extent.length);
    });
    AgTree by_size(volume_, geometry_, ag_, cntbt);
    Fingerprint other;
    previous = {};
    by_size.walk(agf_.cnt_root, agf_.cnt_level, [&](Bytes record) {
      const Extent extent = extent_from(record, by_size);
      by_size.check(extent.length > previous.length ||
                        (extent.length == previous.length && extent.start > previous.start),
                    "order of the extents");
      previous = extent;
      other.add(extent.start, extent.length);
    });

    if (found_ != other) damaged(ag_, "its two trees contradict each other");
    if (free_ != agf_.freeblks || longest_ != agf_.longest) damaged(ag_, "wrong counts");
    check_own_blocks(by_place.blocks());
    check_own_blocks(by_size.blocks());
    check_own_blocks(agf_.other_roots);
    into_.agf_flcount += agf_.flcount;
    into_.agf_btreeblks += agf_.btreeblks;
  }

 private:
  struct Extent {
    std::uint32_t start = 0;
    std::uint32_t length = 0;
  };

  [[nodiscard]] Extent extent_from(Bytes record, const AgTree& tree) const {
    const Extent extent{u32(record, 0), u32(record, 4)};
    tree.check(extent.length > 0 && extent.start < geometry_.length(ag_) &&
                   extent.length <= geometry_.length(ag_) - extent.start,
               "an extent outside of the group");
    return extent;
  }

  void add(std::uint32_t start, std::uint32_t length) {
    const std::uint32_t headers =
        (4 * geometry_.sector_size + geometry_.block_size - 1) / geometry_.block_size;
    if (start < headers) damaged(ag_, "its own headers are free");
    found_.add(start, length);
    free_ += length;
    longest_ = std::max(longest_, length);
    into_.blocks.add(geometry_.first_block(ag_) + start, length);
  }

  void check_own_blocks(std::span<const std::uint32_t> blocks) const {
    for (const std::uint32_t block : blocks) {
      if (block >= geometry_.length(ag_) ||
          into_.blocks.have_any_of(geometry_.first_block(ag_) + block, 1)) {
        damaged(ag_, "its own trees are free");
      }
    }
  }

  DiskView& volume_;
  const Geometry& geometry_;
  std::uint32_t ag_;
  FreeSpace& into_;
  Agf agf_;
  Fingerprint found_;
  std::uint64_t free_ = 0;
  std::uint32_t longest_ = 0;
};

}  // namespace

FreeSpace read_free_space(DiskView& volume, const Geometry& geometry) {
  FreeSpace space{.blocks = FreeClusters(0, geometry.block_size)};
  for (std::uint32_t ag = 0; ag < geometry.ag_count; ++ag) {
    GroupReader(volume, geometry, ag, space).run();
  }
  return space;
}

}  // namespace formats::filesystems::xfs
