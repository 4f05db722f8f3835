#include "formats/disks/filesystems/ext/walk_files.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "formats/disks/filesystems/doubt.hpp"
#include "formats/disks/filesystems/ext/words.hpp"
#include "formats/disks/filesystems/ranges.hpp"

namespace formats::filesystems::ext {
namespace {

using Bytes = std::span<const std::byte>;

constexpr std::uint32_t last_reserved_inode = 10;  // bad blocks, the journal, room to grow

enum Kind : std::uint16_t { directory = 0x4000, regular = 0x8000, symbolic_link = 0xA000 };

// Whether its map tells of blocks, and not of a device or the target of a link.
bool has_map(Bytes inode, std::uint32_t number) {
  const std::uint32_t flags = u32(inode, i_flags);
  if ((flags & flag_inline_data) != 0) return false;
  if (number <= last_reserved_inode) return true;
  const unsigned kind = u16(inode, i_mode) & 0xF000U;
  if (kind == symbolic_link)
    return (flags & flag_extents) != 0 || u32(inode, i_size_lo) >= map_size;
  return kind == directory || kind == regular;
}

class FileWalk {
 public:
  FileWalk(Blocks& blocks, const Superblock& super, const std::vector<io::ByteRange>& free)
      : blocks_(blocks), super_(super), free_(free) {}

  void group(const Group& group, std::uint32_t number) {
    const std::uint32_t per_block = super_.block_size / super_.inode_size;
    const std::uint32_t at_once = std::max(1U, (1U << 20) / super_.block_size);
    const std::uint32_t used = super_.inodes_per_group - group.unused_inodes;
    const std::uint32_t used_blocks = (used + per_block - 1) / per_block;
    for (std::uint32_t block = 0; block < used_blocks; block += at_once) {
      const std::uint32_t count = std::min(at_once, used_blocks - block);
      const auto table = blocks_.read({group.inode_table + block, count});
      const std::uint32_t first = block * per_block;
      const std::uint32_t inodes = std::min(count * per_block, used - first);
      for (std::uint32_t i = 0; i < inodes; ++i) {
        number_ = number * super_.inodes_per_group + first + i + 1;
        inode(Bytes(table).subspan(std::size_t{i} * super_.inode_size, super_.inode_size));
      }
    }
  }

 private:
  // Files without a name are not looked at: the next mount frees what they have.
  void inode(Bytes inode) {
    if (u16(inode, i_links_count) == 0 && number_ > last_reserved_inode) return;
    const std::uint64_t attributes =
        u32(inode, i_file_acl_lo) | (std::uint64_t{u16(inode, i_file_acl_high)} << 32);
    if (attributes != 0) use({attributes, 1});
    if (!has_map(inode, number_)) return;
    const Bytes map = inode.subspan(i_block, map_size);
    if ((u32(inode, i_flags) & flag_extents) != 0) {
      extents(map, 5);
    } else {
      indirect(map);
    }
  }

  [[noreturn]] void damaged() const {
    throw Doubt(Reason::damaged, fmt::format("the map of inode {} is damaged", number_), run_fsck);
  }

  void use(BlockRange range) const {
    if (range.count > blocks_.count() || range.first > blocks_.count() - range.count) damaged();
    const io::ByteRange bytes{range.first * super_.block_size, range.count * super_.block_size};
    if (!overlaps(free_, bytes)) return;
    throw Doubt(Reason::damaged,
                fmt::format("inode {} uses blocks that the bitmaps call free", number_), run_fsck);
  }

  // A block of a map. Never more of them than the file system has blocks: a map may be a circle.
  std::vector<std::byte> map_block(std::uint64_t block) {
    use({block, 1});
    if (++map_blocks_ > blocks_.count()) damaged();
    return blocks_.read({block, 1});
  }

  // Deeper nodes have a smaller `deepest`.
  void extents(Bytes node, unsigned deepest) {
    constexpr std::size_t entry_size = 12;
    constexpr unsigned longest = 32768;  // what is above was set aside, and not written yet
    const std::size_t entries = u16(node, 2);
    const unsigned depth = u16(node, 6);
    if (u16(node, 0) != 0xF30A || depth > deepest || (entries + 1) * entry_size > node.size()) {
      damaged();
    }
    for (std::size_t at = entry_size; at <= entries * entry_size; at += entry_size) {
      if (depth == 0) {
        const unsigned length = u16(node, at + 4);
        use({u32(node, at + 8) | (std::uint64_t{u16(node, at + 6)} << 32),
             length > longest ? length - longest : length});
        continue;
      }
      const auto child = map_block(u32(node, at + 4) | (std::uint64_t{u16(node, at + 8)} << 32));
      if (u16(child, 6) + 1U != depth) damaged();
      extents(child, depth - 1);
    }
  }

  void indirect(Bytes map) {
    constexpr std::size_t direct = 12;
    for (std::size_t i = 0; i < direct + 3; ++i) {
      below(u32(map, 4 * i), i < direct ? 0 : static_cast<unsigned>(i - direct + 1));
    }
  }

  void below(std::uint32_t block, unsigned depth) {
    if (block == 0) return;  // a hole
    if (depth == 0) return use({block, 1});
    const auto table = map_block(block);
    for (std::size_t at = 0; at < table.size(); at += 4) below(u32(table, at), depth - 1);
  }

  Blocks& blocks_;
  const Superblock& super_;
  const std::vector<io::ByteRange>& free_;
  std::uint32_t number_ = 0;
  std::uint64_t map_blocks_ = 0;
};

}  // namespace

void walk_files(Blocks& blocks, const Superblock& super, const std::vector<Group>& groups,
                const std::vector<io::ByteRange>& free) {
  FileWalk walk(blocks, super, free);
  for (std::uint32_t number = 0; number < groups.size(); ++number) {
    walk.group(groups[number], number);
  }
}

}  // namespace formats::filesystems::ext
