#include "formats/filesystems/xfs/free_space.hpp"

#include <fmt/format.h>

#include "formats/big_endian.hpp"
#include "formats/filesystems/doubt.hpp"
#include "formats/filesystems/xfs/free_tree.hpp"

namespace formats::filesystems::xfs {
namespace {

using Bytes = std::span<const std::byte>;

// The header of an AG's free space (AGF).
struct Header {
  std::uint32_t place_root = 0;
  std::uint32_t place_levels = 0;
  std::uint32_t size_root = 0;
  std::uint32_t size_levels = 0;
  std::uint32_t reserved = 0;
  std::uint32_t free = 0;
  std::uint32_t longest = 0;
  std::uint32_t in_trees = 0;
  std::vector<std::uint32_t> other_roots;  // of the trees that are not walked
};

[[noreturn]] void damaged(std::uint32_t ag, std::string_view what) {
  throw Doubt{fmt::format("the free space of its allocation group {} is damaged: {}", ag, what),
              std::string(repair)};
}

Header parse_header(Bytes sector, const Geometry& geometry, std::uint32_t ag) {
  const auto u32 = [&](std::size_t at) { return load_big_endian<std::uint32_t>(sector, at); };
  const auto check = [&](bool holds, std::string_view what) {
    if (!holds) damaged(ag, what);
  };
  check(u32(0) == 0x58414746 && u32(4) == 1, "no header");
  if (geometry.is_v5) {
    check(has_right_checksum(sector, 216), "wrong checksum of the header");
    check(equals(sector.subspan(64, 16), geometry.metadata_uuid), "a header with another uuid");
  }
  check(u32(8) == ag && u32(12) == geometry.length(ag), "a header of another group");

  Header header;
  header.place_root = u32(16);
  header.place_levels = u32(28);
  header.size_root = u32(20);
  header.size_levels = u32(32);
  header.reserved = u32(48);
  header.free = u32(52);
  header.longest = u32(56);
  header.in_trees = u32(60);
  if (geometry.has_reverse_map) header.other_roots.push_back(u32(24));
  if (geometry.has_reference_counts) header.other_roots.push_back(u32(88));
  check(header.free <= geometry.length(ag) && header.reserved <= geometry.sector_size / 4 &&
            header.in_trees <= geometry.length(ag),
        "impossible counts");
  return header;
}

// Reads what is next to each other in one go: the trees' roots usually follow the headers.
Header read_header(DiskView& container, const Geometry& geometry, std::uint32_t ag) {
  constexpr std::uint32_t largest_worthwhile = 16384;
  const std::uint64_t begin = geometry.first_block(ag) * geometry.block_size;
  if (geometry.block_size <= largest_worthwhile) {
    (void)container.read(begin, std::size_t{4} * (geometry.block_size + geometry.sector_size));
  }
  return parse_header(container.read(begin + geometry.sector_size, geometry.sector_size), geometry,
                      ag);
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
  GroupReader(DiskView& container, const Geometry& geometry, std::uint32_t ag, FreeSpace& into)
      : container_(container),
        geometry_(geometry),
        ag_(ag),
        into_(into),
        header_(read_header(container, geometry, ag)) {}

  void run() {
    FreeTree by_place(container_, geometry_, ag_, FreeTree::Order::by_place);
    by_place.walk(header_.place_root, header_.place_levels,
                  [&](std::uint32_t start, std::uint32_t length) { add(start, length); });
    FreeTree by_size(container_, geometry_, ag_, FreeTree::Order::by_size);
    Fingerprint other;
    by_size.walk(header_.size_root, header_.size_levels,
                 [&](std::uint32_t start, std::uint32_t length) { other.add(start, length); });

    if (found_ != other) damaged(ag_, "its two trees contradict each other");
    if (free_ != header_.free || longest_ != header_.longest) damaged(ag_, "wrong counts");
    check_own_blocks(by_place.blocks());
    check_own_blocks(by_size.blocks());
    check_own_blocks(header_.other_roots);
    into_.reserved += header_.reserved;
    into_.in_trees += header_.in_trees;
  }

 private:
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

  DiskView& container_;
  const Geometry& geometry_;
  std::uint32_t ag_;
  FreeSpace& into_;
  Header header_;
  Fingerprint found_;
  std::uint64_t free_ = 0;
  std::uint32_t longest_ = 0;
};

}  // namespace

FreeSpace read_free_space(DiskView& container, const Geometry& geometry) {
  FreeSpace space{.blocks = FreeClusters(0, geometry.block_size)};
  for (std::uint32_t ag = 0; ag < geometry.ag_count; ++ag) {
    GroupReader(container, geometry, ag, space).run();
  }
  return space;
}

}  // namespace formats::filesystems::xfs
