#include "formats/disks/filesystems/f2fs/walk_files.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "formats/bytes/checksum.hpp"
#include "formats/disks/filesystems/doubt.hpp"
#include "formats/disks/filesystems/f2fs/damage.hpp"
#include "formats/disks/filesystems/f2fs/node_map.hpp"
#include "formats/disks/filesystems/f2fs/words.hpp"

namespace formats::filesystems::f2fs {
namespace {

using Bytes = std::span<const std::byte>;

// Offsets in an inode (struct f2fs_inode) and in what ends each node (struct node_footer).
enum InodeField : std::size_t {
  i_mode = 0,
  i_inline = 3,
  i_generation = 68,
  i_xattr_nid = 76,
  i_addr = 360,
  i_extra_isize = 360,
  i_inline_xattr_size = 362,
  i_inode_checksum = 368,
  i_nid = 4052,
  footer_nid = 4072,
  footer_ino = 4076,
};
constexpr std::size_t inode_addresses = (i_nid - i_addr) / 4;
constexpr std::size_t node_addresses = footer_nid / 4;
constexpr std::size_t default_attributes = 50;  // addresses that give way to inline attributes

enum InlineFlag : unsigned {
  inline_attributes = 0x1,
  inline_data = 0x2,
  inline_entries = 0x4,
  extra_attributes = 0x20,
};

enum Kind : unsigned {
  fifo = 0x1000,
  character_device = 0x2000,
  directory = 0x4000,
  block_device = 0x6000,
  regular = 0x8000,
  symbolic_link = 0xA000,
  socket = 0xC000,
};

// Addresses that are none.
enum Address : std::uint32_t {
  hole = 0,
  compressed_cluster = 0xFFFFFFFE,  // what follows is compressed
  set_aside = 0xFFFFFFFF,           // counted, and not written yet
};

class FileWalk {
 public:
  FileWalk(DiskView& volume, const Geometry& geometry, const Segments& segments,
           std::vector<Node> nodes)
      : volume_(volume),
        geometry_(geometry),
        segments_(segments),
        nodes_(std::move(nodes)),
        visited_(nodes_.size()) {}

  void run() {
    std::vector<std::uint32_t> inodes;
    for (std::uint32_t i = 0; i < nodes_.size(); ++i) {
      if (nodes_[i].number == nodes_[i].inode) inodes.push_back(i);
    }
    std::sort(inodes.begin(), inodes.end(), [&](std::uint32_t left, std::uint32_t right) {
      return nodes_[left].address < nodes_[right].address;
    });
    for (std::size_t i = 0; i < inodes.size();) i += read_inodes(std::span(inodes).subspan(i));
    inode_ = 0;
    check(std::find(visited_.begin(), visited_.end(), false) == visited_.end(),
          "it has nodes that belong to no file");
    check(used_ == segments_.used, "its files use other blocks than its map of segments says");
  }

 private:
  [[noreturn]] void damaged(std::string_view what) const {
    throw Doubt(Reason::damaged,
                inode_ == 0 ? std::string(what) : fmt::format("inode {}: {}", inode_, what),
                std::string(repair));
  }
  void check(bool holds, std::string_view what) const {
    if (!holds) damaged(what);
  }

  void use(std::uint64_t address, std::uint64_t count) {
    check(address >= geometry_.main && address - geometry_.main <= geometry_.main_blocks() &&
              count <= geometry_.main_blocks() - (address - geometry_.main),
          "its map leads out of the main area");
    check(!segments_.free.have_any_of(address - geometry_.main, count),
          "it uses blocks that the map of segments calls free");
    used_ += count;
  }

  // Reads the first of these, and with it others that lie close by. Gives how many.
  std::size_t read_inodes(std::span<const std::uint32_t> inodes) {
    constexpr std::uint32_t most_blocks = 64;
    constexpr std::uint32_t near = 8;
    const std::uint32_t first = nodes_[inodes[0]].address;
    std::size_t count = 0;
    std::uint32_t last = first;
    for (; count < inodes.size(); ++count) {
      const Node& node = nodes_[inodes[count]];
      if (node.address - first >= most_blocks || node.address - last > near) break;
      inode_ = node.number;
      use(node.address, 1);
      last = node.address;
    }
    const auto blocks =
        volume_.read(std::uint64_t{first} * block_size, std::size_t{last - first + 1} * block_size);
    for (const std::uint32_t index : inodes.first(count)) {
      inode_ = nodes_[index].number;
      const std::size_t at = std::size_t{nodes_[index].address - first} * block_size;
      const Bytes block = Bytes(blocks).subspan(at, block_size);
      check_identity(index, block);
      inode(block);
    }
    return count;
  }

  void check_identity(std::size_t index, Bytes block) {
    check(!visited_[index], "a node of it has two places");
    visited_[index] = true;
    const Node& node = nodes_[index];
    check(node.inode == inode_ && u32(block, footer_nid) == node.number &&
              u32(block, footer_ino) == inode_,
          "a node of it is another one's");
  }

  void inode(Bytes block) {
    const unsigned flags = u8(block, i_inline);
    const std::size_t extra = (flags & extra_attributes) != 0 ? u16(block, i_extra_isize) : 0;
    check(extra % 4 == 0 && extra / 4 <= inode_addresses, "size of its attributes");
    check_checksum(block, extra);
    if (const auto attributes = u32(block, i_xattr_nid); attributes != 0) (void)node(attributes);
    if (!has_map(block)) return;
    const std::size_t in_front = extra / 4;
    const std::size_t behind = attribute_addresses(block, flags);
    check(in_front + behind <= inode_addresses, "size of its attributes");
    addresses(block.subspan(i_addr + 4 * in_front, 4 * (inode_addresses - in_front - behind)));
    constexpr unsigned depths[] = {0, 0, 1, 1, 2};
    for (std::size_t i = 0; i < std::size(depths); ++i) below(u32(block, i_nid + 4 * i), depths[i]);
  }

  [[nodiscard]] bool has_map(Bytes block) const {
    if ((u8(block, i_inline) & (inline_data | inline_entries)) != 0) return false;
    switch (u16(block, i_mode) & 0xF000U) {
      case directory:
      case regular:
      case symbolic_link:
        return true;
      case fifo:
      case character_device:
      case block_device:
      case socket:
        return false;
      default:
        damaged("its kind is unknown");
    }
  }

  [[nodiscard]] std::size_t attribute_addresses(Bytes block, unsigned flags) const {
    if (geometry_.has_flexible_attributes) {
      check((flags & extra_attributes) != 0, "size of its attributes");
      return u16(block, i_inline_xattr_size);
    }
    return (flags & inline_attributes) != 0 ? default_attributes : 0;
  }

  // Over all of the inode, the field taken as zero, with its number and generation in front.
  void check_checksum(Bytes block, std::size_t extra) const {
    if (!geometry_.has_inode_checksums || i_addr + extra < i_inode_checksum + 4) return;
    constexpr std::array<std::byte, 4> zero{};
    std::uint32_t computed = checksum(~std::uint32_t{0}, geometry_.uuid);
    computed = checksum(computed, block.subspan(footer_ino, 4));
    computed = checksum(computed, block.subspan(i_generation, 4));
    computed = checksum(computed, block.first(i_inode_checksum));
    computed = checksum(computed, zero);
    computed = checksum(computed, block.subspan(i_inode_checksum + 4));
    check(checksum_fits(u32(block, i_inode_checksum), computed), "wrong checksum");
  }

  void addresses(Bytes list) {
    std::uint64_t first = 0;
    std::uint64_t count = 0;
    for (std::size_t at = 0; at < list.size(); at += 4) {
      const std::uint32_t address = u32(list, at);
      if (address == hole || address == compressed_cluster || address == set_aside) continue;
      if (address == first + count && count > 0) {
        ++count;
        continue;
      }
      if (count > 0) use(first, count);
      first = address;
      count = 1;
    }
    if (count > 0) use(first, count);
  }

  std::vector<std::byte> node(std::uint32_t number) {
    const auto found =
        std::lower_bound(nodes_.begin(), nodes_.end(), number,
                         [](const Node& one, std::uint32_t sought) { return one.number < sought; });
    check(found != nodes_.end() && found->number == number, "a node of it is missing");
    use(found->address, 1);
    auto block = volume_.read(std::uint64_t{found->address} * block_size, block_size);
    check_identity(static_cast<std::size_t>(found - nodes_.begin()), block);
    return block;
  }

  void below(std::uint32_t number, unsigned depth) {
    if (number == 0) return;  // a hole
    const auto block = node(number);
    const Bytes list = Bytes(block).first(4 * node_addresses);
    if (depth == 0) return addresses(list);
    for (std::size_t at = 0; at < list.size(); at += 4) below(u32(list, at), depth - 1);
  }

  DiskView& volume_;
  const Geometry& geometry_;
  const Segments& segments_;
  std::vector<Node> nodes_;
  std::vector<bool> visited_;
  std::uint32_t inode_ = 0;  // that is looked at; 0 for all of them
  std::uint64_t used_ = 0;   // blocks
};

}  // namespace

void walk_files(DiskView& volume, const Geometry& geometry, const Checkpoint& checkpoint,
                const Segments& segments) {
  FileWalk(volume, geometry, segments, read_nodes(volume, geometry, checkpoint)).run();
}

}  // namespace formats::filesystems::f2fs
