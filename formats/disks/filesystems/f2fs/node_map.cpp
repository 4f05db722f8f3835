#include "formats/disks/filesystems/f2fs/node_map.hpp"

#include <map>
#include <span>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "formats/disks/filesystems/doubt.hpp"
#include "formats/disks/filesystems/f2fs/damage.hpp"
#include "formats/disks/filesystems/f2fs/table.hpp"
#include "formats/disks/filesystems/f2fs/words.hpp"

namespace formats::filesystems::f2fs {
namespace {

using Bytes = std::span<const std::byte>;

// An entry (struct f2fs_nat_entry): a version, the inode, the address.
constexpr std::size_t nat_entry_size = 9;
constexpr std::size_t at_inode = 1;
constexpr std::size_t at_address = 5;
constexpr std::uint32_t nat_entries_per_block = block_size / nat_entry_size;
constexpr std::size_t most_in_nat_journal = 38;
constexpr std::size_t most_nodes = std::size_t{8} << 20;

constexpr Structure in_nodes{"its map of nodes"};

class NodeReader {
 public:
  NodeReader(DiskView& volume, const Geometry& geometry, const Checkpoint& checkpoint)
      : volume_(volume), geometry_(geometry), checkpoint_(checkpoint) {}

  std::vector<Node> run() {
    journal_ = read_journal(checkpoint_.nat_journal, nat_entry_size, most_in_nat_journal,
                            std::uint64_t{geometry_.nat_blocks} * nat_entries_per_block, in_nodes);
    read_table(
        volume_, geometry_.nat_blocks, [&](std::uint32_t number) { return place(number); },
        [&](std::uint32_t number, Bytes block) { read_block(number, block); });
    in_nodes.check(nodes_.size() == checkpoint_.valid_nodes,
                   "it has other nodes than were counted");
    return std::move(nodes_);
  }

 private:
  // The two sets take turns, segment by segment.
  [[nodiscard]] std::uint64_t place(std::uint32_t number) const {
    const std::uint64_t in_segment = number % segment_blocks;
    const bool in_second = bit_at(checkpoint_.nat_bitmap, number);
    return std::uint64_t{geometry_.nat} + 2 * std::uint64_t{number} - in_segment +
           (in_second ? segment_blocks : 0);
  }

  void read_block(std::uint32_t number, Bytes block) {
    const std::uint32_t first = number * nat_entries_per_block;
    auto newer = journal_.lower_bound(first);
    for (std::uint32_t i = 0; i < nat_entries_per_block; ++i) {
      if (newer != journal_.end() && newer->first == first + i) {
        entry(first + i, (newer++)->second);
      } else {
        entry(first + i, block.subspan(std::size_t{i} * nat_entry_size, nat_entry_size));
      }
    }
  }

  void entry(std::uint32_t number, Bytes entry) {
    const std::uint32_t address = u32(entry, at_address);
    if (address == 0 || number == geometry_.node_inode || number == geometry_.meta_inode) return;
    if (nodes_.size() == most_nodes) {
      throw Doubt(Reason::unsupported, "it has more nodes than can be compared here");
    }
    nodes_.push_back({number, u32(entry, at_inode), address});
  }

  DiskView& volume_;
  const Geometry& geometry_;
  const Checkpoint& checkpoint_;
  std::map<std::uint32_t, Bytes> journal_;
  std::vector<Node> nodes_;
};

}  // namespace

std::vector<Node> read_nodes(DiskView& volume, const Geometry& geometry,
                             const Checkpoint& checkpoint) {
  return NodeReader(volume, geometry, checkpoint).run();
}

}  // namespace formats::filesystems::f2fs
