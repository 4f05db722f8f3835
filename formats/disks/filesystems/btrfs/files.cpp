#include "formats/disks/filesystems/btrfs/files.hpp"

#include <algorithm>
#include <map>
#include <unordered_set>

#include <fmt/format.h>

#include "formats/bytes/little_endian.hpp"
#include "formats/disks/filesystems/btrfs/extent_map.hpp"
#include "formats/disks/filesystems/btrfs/file_extent.hpp"
#include "formats/disks/filesystems/btrfs/tree_lookup.hpp"
#include "formats/disks/filesystems/btrfs/words.hpp"
#include "formats/disks/filesystems/doubt.hpp"
#include "formats/disks/filesystems/piece_list.hpp"
#include "formats/disks/filesystems/unix_mode.hpp"
#include "io/error.hpp"

namespace formats::filesystems::btrfs {
namespace {

using Bytes = std::span<const std::byte>;

constexpr std::uint64_t top_level = 5;
constexpr std::uint64_t root_directory = 256;  // of each subvolume
constexpr std::uint8_t inode_item = 1;
constexpr std::uint8_t directory_index = 96;
constexpr std::uint64_t largest_number = ~std::uint64_t{0};

// Offsets in the item of an inode (struct btrfs_inode_item), by the names of its fields.
enum InodeItem : std::size_t {
  inode_size = 16,
  inode_nlink = 40,
  inode_uid = 44,
  inode_gid = 48,
  inode_mode = 52,
  inode_mtime = 136,
  inode_item_size = 160,
};

// Offsets in an extent of a file (struct btrfs_file_extent_item).
enum ExtentItem : std::size_t {
  extent_ram_bytes = 8,
  extent_compression = 16,
  extent_encryption = 17,
  extent_type = 20,
  extent_inline_data = 21,
  extent_disk_bytenr = 21,
  extent_disk_num_bytes = 29,
  extent_offset = 37,
  extent_num_bytes = 45,
};
enum ExtentType : unsigned { in_line = 0, regular = 1, set_aside = 2 };

constexpr std::uint64_t longest_compressed = 128 * io::KiB;

unsigned u8(Bytes bytes, std::size_t at) { return std::to_integer<unsigned>(bytes[at]); }

class BtrfsFiles final : public FileTree {
 public:
  BtrfsFiles(DiskView& volume, Superblock super)
      : volume_(volume),
        super_(std::move(super)),
        chunks_(read_chunks(volume, super_, chunk_tree_blocks_)),
        lookup_(volume, super_, chunks_) {
    (void)tree(top_level);
    if (super_.log_tree) {
      warning_ =
          "was not unmounted: shown as it was at its last commit, without what was synced "
          "since";
    }
  }

  NodeId root() const override { return {root_directory, top_level}; }
  void count_shared_once() override { counts_once_ = true; }

  Node look_at(NodeId id) override {
    const std::vector<std::byte> item = read_inode(id);
    Node node;
    node.kind = kind_of_mode(u32(item, inode_mode));
    node.permissions = u32(item, inode_mode) & 07777U;
    node.size = node.kind == NodeKind::folder ? 0 : u64(item, inode_size);
    node.links = u32(item, inode_nlink);
    node.owner = u32(item, inode_uid);
    node.group = u32(item, inode_gid);
    node.modified = static_cast<std::int64_t>(u64(item, inode_mtime));
    node.may_share = node.kind == NodeKind::file;
    if (node.kind == NodeKind::file) node.stored = stored(id);
    return node;
  }

  void list(NodeId folder, const EntryVisitor& visit) override {
    if (kind_of_mode(u32(read_inode(folder), inode_mode)) != NodeKind::folder) {
      damaged(folder, "is no directory");
    }
    const Key first{folder.number, directory_index, 0};
    const Key last{folder.number, directory_index, largest_number};
    lookup_.visit(tree(folder.tree), first, last, [&](const Key&, Bytes item) {
      constexpr std::size_t header = 30;
      constexpr std::size_t name_length_at = 27;
      if (item.size() < header) damaged(folder, "has a short entry");
      const std::size_t length = load_little_endian<std::uint16_t>(item, name_length_at);
      if (length == 0 || length > item.size() - header) damaged(folder, "has a damaged entry");
      const Bytes bytes = item.subspan(header, length);
      const std::string_view name(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      const Key target = parse_key(item);
      const NodeId id = target.type == root_item ? NodeId{root_directory, target.object}
                                                 : NodeId{target.object, folder.tree};
      return name == "." || name == ".." || visit({name, id});
    });
  }

  FileMap map_of(NodeId id) override {
    const std::vector<std::byte> inode = read_inode(id);
    const NodeKind kind = kind_of_mode(u32(inode, inode_mode));
    FileMap map;
    if (kind != NodeKind::file && kind != NodeKind::link) return map;
    map.size = u64(inode, inode_size);
    for_each_extent(id, [&](std::uint64_t offset, Bytes item) {
      if (offset < map.size) extent(id, offset, item, map);
      return true;
    });
    return map;
  }

 private:
  [[noreturn]] static void damaged(NodeId id, std::string_view what) {
    throw Doubt(Reason::damaged,
                fmt::format("has an inode {} in its tree {} that {}", id.number, id.tree, what),
                std::string(repair));
  }

  const TreeRoot& tree(std::uint64_t number) {
    if (const auto known = trees_.find(number); known != trees_.end()) return known->second;
    constexpr std::size_t most_trees = std::size_t{1} << 20;
    std::optional<RootItem> found;
    lookup_.visit(super_.root_tree, {number, root_item, 0}, {number, root_item, largest_number},
                  [&](const Key&, Bytes item) {
                    found = parse_root(number, item);
                    return false;
                  });
    const bool is_subvolume = number == top_level || number >= root_directory;
    if (!found || !is_subvolume || trees_.size() == most_trees) {
      throw Doubt(Reason::damaged,
                  fmt::format("has no subvolume {}, which a name leads to", number),
                  std::string(repair));
    }
    found->root.shared = true;
    return trees_.emplace(number, found->root).first->second;
  }

  std::vector<std::byte> read_inode(NodeId id) {
    std::vector<std::byte> inode;
    const Key key{id.number, inode_item, 0};
    lookup_.visit(tree(id.tree), key, key, [&](const Key&, Bytes item) {
      inode.assign(item.begin(), item.end());
      return false;
    });
    if (inode.size() < inode_item_size) damaged(id, "is not there");
    return inode;
  }

  template <class Take>
  void for_each_extent(NodeId id, const Take& take) {
    lookup_.visit(tree(id.tree), {id.number, file_extent, 0},
                  {id.number, file_extent, largest_number}, [&](const Key& key, Bytes item) {
                    if (item.size() <= extent_type) damaged(id, "has a short extent");
                    return take(key.offset, item);
                  });
  }

  std::uint64_t stored(NodeId id) {
    constexpr std::size_t most_seen = std::size_t{4} << 20;
    std::uint64_t bytes = 0;
    for_each_extent(id, [&](std::uint64_t offset, Bytes item) {
      if (u8(item, extent_type) == in_line) {
        bytes += item.size() - extent_inline_data;
        return true;
      }
      const auto range =
          parse_file_extent(id.tree, {id.number, file_extent, offset}, item, super_.sector_size);
      if (!range) return true;
      const bool is_new =
          !counts_once_ || seen_.size() >= most_seen || seen_.insert(range->offset).second;
      if (is_new) bytes += std::min(range->length, volume_.size());
      return true;
    });
    return bytes;
  }

  void extent(NodeId id, std::uint64_t offset, Bytes item, FileMap& map) const {
    if (u8(item, extent_encryption) != 0) {
      throw Doubt(Reason::unsupported, "has encrypted files, which imgtool does not read");
    }
    const unsigned type = u8(item, extent_type);
    const Coding coding = coding_of(id, u8(item, extent_compression));
    if (type == in_line) {
      if (offset != 0) damaged(id, "has data in its tree behind its begin");
      const std::uint64_t length = u64(item, extent_ram_bytes);
      if (length > longest_compressed) damaged(id, "has too much data in its tree");
      const Bytes content = item.subspan(extent_inline_data);
      map.in_line.assign(content.begin(), content.end());
      map.in_line_coding = coding;
      map.in_line_decoded = length;
      if (coding == Coding::none) {
        map.in_line.resize(std::min<std::uint64_t>(map.in_line.size(), map.size));
      }
      return;
    }
    const auto range =
        parse_file_extent(id.tree, {id.number, file_extent, offset}, item, super_.sector_size);
    if (!range || type == set_aside) return;
    const Chunk* const chunk = chunks_.find(range->offset, range->length);
    if (chunk == nullptr) damaged(id, "has an extent outside of all chunks");
    const std::uint64_t place = chunk->places[0] + (range->offset - chunk->address);
    const std::uint64_t skipped = u64(item, extent_offset), length = u64(item, extent_num_bytes);
    if (!map.pieces.empty() && offset < map.pieces.back().range.end()) {
      damaged(id, "has extents that overlap");
    }
    if (coding == Coding::none) {
      if (length > range->length || skipped > range->length - length) {
        damaged(id, "has a damaged extent");
      }
      append_piece(map, offset, place + skipped, length);
      return;
    }
    add_coded(id, coding, {offset, length}, {place, range->length}, item, map);
  }

  static Coding coding_of(NodeId id, unsigned number) {
    switch (number) {
      case 0:
        return Coding::none;
      case 1:
        return Coding::zlib;
      case 2:
        return Coding::lzo;
      case 3:
        return Coding::zstd;
      default:
        damaged(id, "is compressed in an unknown way");
    }
  }

  static void add_coded(NodeId id, Coding coding, io::ByteRange range, io::ByteRange place,
                        Bytes item, FileMap& map) {
    FilePiece piece;
    piece.coding = coding;
    piece.place = place.offset;
    piece.coded = place.length;
    piece.decoded = u64(item, extent_ram_bytes);
    piece.skipped = u64(item, extent_offset);
    if (piece.decoded > longest_compressed || piece.coded > longest_compressed ||
        range.length > piece.decoded || piece.skipped > piece.decoded - range.length ||
        map.pieces.size() == most_pieces) {
      damaged(id, "has a damaged compressed extent");
    }
    piece.range = {range.offset, std::min(range.length, map.size - range.offset)};
    map.pieces.push_back(piece);
  }

  DiskView& volume_;
  Superblock super_;
  std::vector<std::uint64_t> chunk_tree_blocks_;
  ChunkMap chunks_;
  TreeLookup lookup_;
  std::map<std::uint64_t, TreeRoot> trees_;
  bool counts_once_ = false;
  std::unordered_set<std::uint64_t> seen_;  // addresses of extents
};

}  // namespace

std::unique_ptr<FileTree> open_files(DiskView& volume) {
  const auto bytes = volume.read(superblock_offset, superblock_size);
  if (!has_magic(bytes)) throw Doubt(Reason::damaged, "has no superblock", std::string(repair));
  Superblock super = parse_superblock(bytes, volume.size());
  if (super.devices > 1) {
    throw Doubt(Reason::unsupported, "lies on several devices, which imgtool cannot put together");
  }
  return std::make_unique<BtrfsFiles>(volume, std::move(super));
}

}  // namespace formats::filesystems::btrfs
