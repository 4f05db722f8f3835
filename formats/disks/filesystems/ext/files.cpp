#include "formats/disks/filesystems/ext/files.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "formats/disks/filesystems/doubt.hpp"
#include "formats/disks/filesystems/ext/groups.hpp"
#include "formats/disks/filesystems/ext/inode_blocks.hpp"
#include "formats/disks/filesystems/ext/journal.hpp"
#include "formats/disks/filesystems/ext/superblock.hpp"
#include "formats/disks/filesystems/ext/words.hpp"
#include "formats/disks/filesystems/piece_list.hpp"
#include "formats/disks/filesystems/unix_mode.hpp"
#include "io/error.hpp"

namespace formats::filesystems::ext {
namespace {

using Bytes = std::span<const std::byte>;

constexpr std::uint32_t flag_encrypted = 0x800;
constexpr std::uint32_t flag_counts_blocks = 0x40000;  // EXT4_HUGE_FILE_FL
constexpr std::uint32_t root_inode = 2;
constexpr std::size_t good_old_size = 128;

// Consecutive blocks of a file.
struct Extent {
  std::uint64_t logical = 0;
  BlockRange blocks;
  bool written = true;  // else it reads as zeros
};

// The map of one file, by extents or by indirect blocks.
class MapReader {
 public:
  using Visitor = std::function<void(const Extent&)>;

  MapReader(Blocks& blocks, std::uint32_t number, const Visitor& visit)
      : blocks_(blocks), number_(number), visit_(visit) {}

  void read(Bytes map, std::uint32_t flags, std::uint64_t file_blocks) {
    end_ = file_blocks;
    if ((flags & flag_extents) != 0) {
      extents(map, 5);
      return;
    }
    constexpr std::size_t direct = 12;
    for (std::size_t i = 0; i < direct + 3 && next_ < end_; ++i) {
      below(u32(map, 4 * i), i < direct ? 0 : static_cast<unsigned>(i - direct + 1));
    }
  }

 private:
  [[noreturn]] void damaged() const {
    throw Doubt(Reason::damaged, fmt::format("has a damaged map of inode {}", number_), run_fsck);
  }

  // Never more of them than the file system has: a map may be a circle.
  std::vector<std::byte> map_block(std::uint64_t block) {
    if (++map_blocks_ > blocks_.count()) damaged();
    return blocks_.read({block, 1});
  }

  void give(std::uint64_t logical, BlockRange range, bool written) {
    if (range.count > blocks_.count() || range.first > blocks_.count() - range.count) damaged();
    if (logical < next_) damaged();
    next_ = logical + range.count;
    if (logical >= end_) return;
    range.count = std::min(range.count, end_ - logical);
    visit_({logical, range, written});
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
        const bool written = length <= longest;
        give(u32(node, at),
             {u32(node, at + 8) | (std::uint64_t{u16(node, at + 6)} << 32),
              written ? length : length - longest},
             written);
        continue;
      }
      const auto child = map_block(u32(node, at + 4) | (std::uint64_t{u16(node, at + 8)} << 32));
      if (u16(child, 6) + 1U != depth) damaged();
      extents(child, depth - 1);
    }
  }

  void below(std::uint32_t block, unsigned depth) {
    if (block == 0) {
      std::uint64_t hole = 1;
      for (unsigned level = 0; level < depth; ++level) hole *= blocks_.block_size() / 4;
      next_ += hole;
      return;
    }
    if (depth == 0) return give(next_, {block, 1}, true);
    const auto table = map_block(block);
    for (std::size_t at = 0; at < table.size() && next_ < end_; at += 4) {
      below(u32(table, at), depth - 1);
    }
  }

  Blocks& blocks_;
  std::uint32_t number_;
  const Visitor& visit_;
  std::uint64_t next_ = 0;  // behind what was given
  std::uint64_t end_ = 0;
  std::uint64_t map_blocks_ = 0;
};

class ExtFiles final : public FileTree {
 public:
  ExtFiles(DiskView& volume, const Superblock& super)
      : volume_(volume), super_(super), blocks_(volume, super.block_size, super.blocks) {
    groups_ = read_groups(blocks_, super_);
    if (super_.needs_recovery) replay();
  }

  NodeId root() const override { return {root_inode, 0}; }

  Node look_at(NodeId id) override {
    const auto inode = read_inode(id);
    Node node;
    node.kind = kind_of_mode(u16(inode, i_mode));
    node.permissions = u16(inode, i_mode) & 07777U;
    node.size = size_of(inode);
    const std::uint32_t flags = u32(inode, i_flags);
    const std::uint64_t high = super_.huge_files ? u16(inode, i_blocks_high) : 0;
    const bool whole = super_.huge_files && (flags & flag_counts_blocks) != 0;
    node.stored = (u32(inode, i_blocks_lo) | (high << 32)) * (whole ? super_.block_size : 512);
    node.owner = u16(inode, i_uid) | (std::uint32_t{u16(inode, l_i_uid_high)} << 16);
    node.group = u16(inode, i_gid) | (std::uint32_t{u16(inode, l_i_gid_high)} << 16);
    node.links = u16(inode, i_links_count);
    node.modified = static_cast<std::int32_t>(u32(inode, i_mtime));
    if (has_extra(inode, i_mtime_extra + 4)) {
      node.modified += std::int64_t{u32(inode, i_mtime_extra) & 3U} << 32;
    }
    return node;
  }

  void list(NodeId folder, const EntryVisitor& visit) override {
    const auto inode = read_inode(folder);
    if (kind_of_mode(u16(inode, i_mode)) != NodeKind::folder) damaged(folder, "is no directory");
    if ((u32(inode, i_flags) & flag_inline_data) != 0) {
      const Bytes begin = Bytes(inode).subspan(i_block, map_size);
      constexpr std::size_t parent = 4;
      if (!entries(begin.subspan(parent), place_of(folder) + i_block + parent, visit)) return;
      const io::ByteRange rest = inline_rest(inode);
      entries(Bytes(inode).subspan(rest.offset, rest.length), place_of(folder) + rest.offset,
              visit);
      return;
    }
    bool go_on = true;
    const std::uint64_t size = size_of(inode) / super_.block_size;
    if (size > super_.blocks) damaged(folder, "is a directory with too many blocks");
    for_each_extent(inode, folder, size, [&](const Extent& extent) {
      if (!extent.written) return;
      for (std::uint64_t i = 0; i < extent.blocks.count && go_on; ++i) {
        const std::uint64_t block = extent.blocks.first + i;
        go_on = entries(blocks_.read({block, 1}), block * super_.block_size, visit);
      }
    });
  }

  FileMap map_of(NodeId id) override {
    const auto inode = read_inode(id);
    const NodeKind kind = kind_of_mode(u16(inode, i_mode));
    const std::uint32_t flags = u32(inode, i_flags);
    FileMap map;
    if (kind != NodeKind::file && kind != NodeKind::link) return map;
    if ((flags & flag_encrypted) != 0) {
      throw io::Error(io::ErrorKind::unsupported, volume_.name(),
                      fmt::format("inode {} is encrypted (fscrypt)", id.number));
    }
    map.size = size_of(inode);
    const bool short_link =
        kind == NodeKind::link && map.size < map_size && (flags & flag_extents) == 0;
    if (short_link || (flags & flag_inline_data) != 0) {
      take_inline(inode, map);
      return map;
    }
    const std::uint64_t block_size = super_.block_size;
    const std::uint64_t blocks = map.size / block_size + (map.size % block_size != 0 ? 1 : 0);
    for_each_extent(inode, id, blocks, [&](const Extent& extent) {
      if (!extent.written) return;
      append_piece(map, extent.logical * block_size, extent.blocks.first * block_size,
                   extent.blocks.count * block_size);
    });
    return map;
  }

 private:
  void replay() {
    try {
      const FileBlocks journal =
          blocks_of_inode(blocks_, super_, groups_, super_.journal_inode, most_journal_blocks);
      (void)replay_journal(blocks_, journal);
      groups_ = read_groups(blocks_, super_);
      warning_ = "was not unmounted: shown as it is once its journal is replayed";
    } catch (const Doubt& doubt) {
      blocks_.put_back();
      groups_ = read_groups(blocks_, super_);
      warning_ = "was not unmounted, and its journal cannot be replayed here (" + doubt.because +
                 "): shown as it is";
    }
  }

  [[noreturn]] void damaged(NodeId id, std::string_view what) const {
    throw io::Error::format(volume_.name(), volume_.begin() + place_of(id),
                            fmt::format("inode {} {}; {}", id.number, what, run_fsck));
  }

  // In the volume. The number was checked.
  [[nodiscard]] std::uint64_t place_of(NodeId id) const {
    const std::uint64_t index = (id.number - 1) % super_.inodes_per_group;
    const Group& group = groups_[(id.number - 1) / super_.inodes_per_group];
    return group.inode_table * super_.block_size + index * super_.inode_size;
  }

  std::vector<std::byte> read_inode(NodeId id) {
    if (id.number == 0 || id.number > super_.inodes) {
      throw Doubt(Reason::damaged, fmt::format("has no inode {}, which a name leads to", id.number),
                  run_fsck);
    }
    const std::uint64_t place = place_of(id);
    const std::uint64_t block = place / super_.block_size;
    if (block != table_block_ || table_.empty()) {
      table_ = blocks_.read({block, 1});
      table_block_ = block;
    }
    const auto begin = table_.begin() + static_cast<std::ptrdiff_t>(place % super_.block_size);
    std::vector<std::byte> inode(begin, begin + super_.inode_size);
    if (u16(inode, i_mode) == 0 || u16(inode, i_links_count) == 0) {
      damaged(id, "is free, and a name leads to it");
    }
    return inode;
  }

  [[nodiscard]] static std::uint64_t size_of(Bytes inode) {
    return u32(inode, i_size_lo) | (std::uint64_t{u32(inode, i_size_high)} << 32);
  }

  // Whether the inode has its fields up to `end`.
  [[nodiscard]] static bool has_extra(Bytes inode, std::size_t end) {
    return inode.size() > good_old_size && good_old_size + u16(inode, i_extra_isize) >= end &&
           inode.size() >= end;
  }

  void for_each_extent(Bytes inode, NodeId id, std::uint64_t blocks,
                       const MapReader::Visitor& visit) {
    MapReader reader(blocks_, static_cast<std::uint32_t>(id.number), visit);
    reader.read(inode.subspan(i_block, map_size), u32(inode, i_flags), blocks);
  }

  // The attribute system.data behind the fields of an inode: what does not fit into i_block. Inside
  // of the inode; empty where there is none.
  [[nodiscard]] static io::ByteRange inline_rest(Bytes inode) {
    if (inode.size() <= good_old_size + 4) return {};
    const std::size_t begin = good_old_size + u16(inode, i_extra_isize);
    constexpr std::uint32_t magic = 0xEA020000;
    if (begin % 4 != 0 || begin + 4 > inode.size() || u32(inode, begin) != magic) return {};
    const Bytes list = inode.subspan(begin + 4);
    constexpr std::size_t header = 16;
    for (std::size_t at = 0; at + header <= list.size() && u32(list, at) != 0;) {
      const auto length = std::to_integer<std::size_t>(list[at]);
      const auto index = std::to_integer<unsigned>(list[at + 1]);
      if (at + header + length > list.size()) return {};
      constexpr std::string_view data = "data";
      constexpr unsigned system = 7;
      const auto name = list.subspan(at + header, length);
      if (index == system &&
          std::equal(name.begin(), name.end(), std::as_bytes(std::span(data)).begin(),
                     std::as_bytes(std::span(data)).end())) {
        const std::size_t value = u16(list, at + 2);
        const std::size_t size = u32(list, at + 8);
        if (size > list.size() || value > list.size() - size) return {};
        return {begin + 4 + value, size};
      }
      at += (header + length + 3) / 4 * 4;
    }
    return {};
  }

  static void take_inline(Bytes inode, FileMap& map) {
    const auto append = [&](Bytes bytes) {
      const std::size_t count =
          std::min<std::uint64_t>(bytes.size(), map.size - map.in_line.size());
      map.in_line.insert(map.in_line.end(), bytes.begin(),
                         bytes.begin() + static_cast<std::ptrdiff_t>(count));
    };
    append(inode.subspan(i_block, map_size));
    const io::ByteRange rest = inline_rest(inode);
    append(inode.subspan(rest.offset, rest.length));
  }

  // Blocks of 64 KiB are longer than 16 bits can say: the lowest two bits are the highest there.
  [[nodiscard]] std::size_t entry_length(std::size_t stored) const {
    constexpr std::size_t largest = 65536;
    if (super_.block_size < largest) return stored;
    if (stored == 0 || stored == largest - 1) return largest;
    return (stored & 0xFFFC) | ((stored & 3) << 16);
  }

  // The entries in a block, or in a part of an inode, that lies at `place`. False: enough was seen.
  // Inner nodes of hashed directories look like entries that are not used.
  bool entries(Bytes block, std::uint64_t place, const EntryVisitor& visit) const {
    constexpr std::size_t header = 8;
    constexpr std::uint8_t checksum_type = 0xDE;
    for (std::size_t at = 0; at + header <= block.size();) {
      const std::uint32_t inode = u32(block, at);
      const std::size_t length = entry_length(u16(block, at + 4));
      const auto name_length = std::to_integer<std::size_t>(block[at + 6]);
      const auto type = std::to_integer<std::uint8_t>(block[at + 7]);
      if (length < header + name_length || length % 4 != 0 || length > block.size() - at) {
        throw io::Error::format(volume_.name(), volume_.begin() + place + at,
                                std::string("a directory has a damaged entry; ") + run_fsck);
      }
      if (inode != 0 && type != checksum_type && name_length > 0) {
        const Bytes name = block.subspan(at + header, name_length);
        const std::string_view text(reinterpret_cast<const char*>(name.data()), name.size());
        if (text != "." && text != ".." && !visit({text, {inode, 0}})) return false;
      }
      at += length;
    }
    return true;
  }

  DiskView& volume_;
  Superblock super_;
  Blocks blocks_;
  std::vector<Group> groups_;
  std::vector<std::byte> table_;  // the block of inodes that was read last
  std::uint64_t table_block_ = 0;
};

}  // namespace

std::unique_ptr<FileTree> open_files(DiskView& volume) {
  const auto superblock = volume.read(superblock_offset, superblock_size);
  if (!is_superblock(superblock)) throw Doubt(Reason::damaged, "has no superblock", run_fsck);
  return std::make_unique<ExtFiles>(volume, parse_superblock(superblock, StateCheck::any));
}

}  // namespace formats::filesystems::ext
