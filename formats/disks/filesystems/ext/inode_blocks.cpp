#include "formats/disks/filesystems/ext/inode_blocks.hpp"

#include <algorithm>
#include <array>
#include <cassert>

#include <fmt/format.h>

#include "formats/bytes/checksum.hpp"
#include "formats/bytes/crc32c.hpp"
#include "formats/bytes/little_endian.hpp"
#include "formats/disks/filesystems/doubt.hpp"
#include "formats/disks/filesystems/ext/words.hpp"

namespace formats::filesystems::ext {
namespace {

constexpr std::size_t map_at = 0x28;

[[noreturn]] void damaged() {
  throw Doubt(Reason::damaged, "the map of its journal is damaged", run_fsck);
}

class Walk {
 public:
  Walk(Blocks& blocks, const Superblock& super, std::uint64_t most)
      : blocks_(blocks), super_(super), most_(most) {}

  FileBlocks run(const std::vector<std::byte>& inode, std::uint32_t number) {
    check_inode(inode, number);
    const std::span<const std::byte> map = std::span(inode).subspan(map_at, map_size);
    const std::uint32_t flags = load_little_endian<std::uint32_t>(inode, 0x20);
    if ((flags & flag_extents) != 0) {
      extents(map, 5);
    } else {
      indirect(map);
    }
    if (mapped_ != result_.count) damaged();
    return std::move(result_);
  }

 private:
  void check_inode(const std::vector<std::byte>& inode, std::uint32_t number) {
    const auto u16 = [&](std::size_t at) { return load_little_endian<std::uint16_t>(inode, at); };
    const auto u32 = [&](std::size_t at) { return load_little_endian<std::uint32_t>(inode, at); };
    if ((u16(0) & 0xF000) != 0x8000 || u16(0x1A) == 0) damaged();  // a regular file, linked
    const std::uint64_t size = u32(4) | (std::uint64_t{u32(0x6C)} << 32);
    result_.count = size / super_.block_size;
    if (result_.count == 0 || result_.count > most_ || size % super_.block_size != 0) damaged();
    seed_ = crc32c_update(super_.checksum_seed, little_endian_bytes(number));
    seed_ = crc32c_update(seed_, little_endian_bytes(u32(0x64)));
    if (super_.metadata_checksums) check_inode_checksum(inode);
  }

  void check_inode_checksum(const std::vector<std::byte>& inode) const {
    constexpr std::size_t low = 0x7C;
    constexpr std::size_t high = 0x82;
    const bool wide = inode.size() > 128 && load_little_endian<std::uint16_t>(inode, 0x80) >= 4;
    std::uint32_t stored = load_little_endian<std::uint16_t>(inode, low);
    if (wide) stored |= std::uint32_t{load_little_endian<std::uint16_t>(inode, high)} << 16;
    std::vector<std::byte> copy = inode;
    store_little_endian<std::uint16_t>(copy, low, 0);
    if (wide) store_little_endian<std::uint16_t>(copy, high, 0);
    if (!checksum_fits(stored, crc32c_update(seed_, copy) & (wide ? ~0U : 0xFFFFU))) damaged();
  }

  void add(std::uint64_t logical, BlockRange range) {
    if (logical != mapped_ || range.count == 0 || range.count > result_.count - mapped_) damaged();
    if (range.count > blocks_.count() || range.first > blocks_.count() - range.count ||
        range.first <= super_.first_data_block) {
      damaged();
    }
    auto& pieces = result_.pieces;
    if (!pieces.empty() && pieces.back().end() == range.first) {
      pieces.back().count += range.count;
    } else {
      pieces.push_back(range);
      result_.begins.push_back(mapped_);
    }
    mapped_ += range.count;
  }

  std::vector<std::byte> tree_block(std::uint64_t block) {
    if (result_.tree.size() > most_) damaged();  // each of them maps something
    result_.tree.push_back(block);
    return blocks_.read({block, 1});
  }

  // Deeper nodes have a smaller `deepest`, so a cycle ends.
  void extents(std::span<const std::byte> node, unsigned deepest) {
    const auto u16 = [&](std::size_t at) { return load_little_endian<std::uint16_t>(node, at); };
    const auto u32 = [&](std::size_t at) { return load_little_endian<std::uint32_t>(node, at); };
    constexpr std::size_t entry_size = 12;
    const std::size_t entries = u16(2);
    const unsigned depth = u16(6);
    if (u16(0) != 0xF30A || depth > deepest || entries > u16(4) ||
        (entries + 1) * entry_size > node.size()) {
      damaged();
    }
    for (std::size_t at = entry_size; at <= entries * entry_size; at += entry_size) {
      if (depth == 0) {
        // More than 32768 means that so many blocks were never written, which a journal's are.
        if (u16(at + 4) > 32768) damaged();
        add(u32(at), {u32(at + 8) | (std::uint64_t{u16(at + 6)} << 32), u16(at + 4)});
        continue;
      }
      const auto child = tree_block(u32(at + 4) | (std::uint64_t{u16(at + 8)} << 32));
      check_extent_block(child);
      if (load_little_endian<std::uint16_t>(child, 6) + 1U != depth) damaged();
      extents(child, depth - 1);
    }
  }

  void check_extent_block(const std::vector<std::byte>& block) const {
    if (!super_.metadata_checksums) return;
    const std::size_t tail = 12 + std::size_t{12} * load_little_endian<std::uint16_t>(block, 4);
    if (tail + 4 > block.size()) damaged();
    if (!checksum_fits(load_little_endian<std::uint32_t>(block, tail),
                       crc32c_update(seed_, std::span(block).first(tail)))) {
      damaged();
    }
  }

  void indirect(std::span<const std::byte> map) {
    constexpr std::size_t direct = 12;
    for (std::size_t i = 0; i < direct + 3; ++i) {
      if (mapped_ == result_.count) return;
      const auto block = load_little_endian<std::uint32_t>(map, 4 * i);
      below(block, i < direct ? 0 : static_cast<unsigned>(i - direct + 1));
    }
  }

  void below(std::uint64_t block, unsigned depth) {
    if (depth == 0) {
      add(mapped_, {block, 1});
      return;
    }
    const auto table = tree_block(block);
    for (std::size_t at = 0; at < table.size() && mapped_ < result_.count; at += 4) {
      below(load_little_endian<std::uint32_t>(table, at), depth - 1);
    }
  }

  Blocks& blocks_;
  const Superblock& super_;
  std::uint64_t most_;
  std::uint32_t seed_ = 0;
  std::uint64_t mapped_ = 0;
  FileBlocks result_;
};

}  // namespace

BlockRange FileBlocks::at(std::uint64_t n) const {
  assert(n < count);
  const auto next = std::upper_bound(begins.begin(), begins.end(), n);
  const auto index = static_cast<std::size_t>(next - begins.begin()) - 1;
  const std::uint64_t inside = n - begins[index];
  return {pieces[index].first + inside, pieces[index].count - inside};
}

FileBlocks blocks_of_inode(Blocks& blocks, const Superblock& super,
                           const std::vector<Group>& groups, std::uint32_t inode,
                           std::uint64_t most) {
  const std::uint32_t index = (inode - 1) % super.inodes_per_group;
  const Group& group = groups.at((inode - 1) / super.inodes_per_group);
  const std::uint64_t at = std::uint64_t{index} * super.inode_size;
  const auto block = blocks.read({group.inode_table + at / super.block_size, 1});
  const auto begin = block.begin() + static_cast<std::ptrdiff_t>(at % super.block_size);
  return Walk(blocks, super, most).run({begin, begin + super.inode_size}, inode);
}

}  // namespace formats::filesystems::ext
