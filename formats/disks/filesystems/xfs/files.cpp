#include "formats/disks/filesystems/xfs/files.hpp"

#include <algorithm>
#include <bit>
#include <optional>

#include <fmt/format.h>

#include "formats/disks/filesystems/doubt.hpp"
#include "formats/disks/filesystems/piece_list.hpp"
#include "formats/disks/filesystems/unix_mode.hpp"
#include "formats/disks/filesystems/xfs/inode.hpp"
#include "formats/disks/filesystems/xfs/inode_fields.hpp"
#include "formats/disks/filesystems/xfs/log.hpp"
#include "formats/disks/filesystems/xfs/log_replay.hpp"
#include "formats/disks/filesystems/xfs/replayed_volume.hpp"
#include "formats/disks/filesystems/xfs/superblock.hpp"
#include "formats/disks/filesystems/xfs/words.hpp"
#include "io/error.hpp"

namespace formats::filesystems::xfs {
namespace {

using Bytes = std::span<const std::byte>;

constexpr std::uint64_t flag_reflink = 0x2;
constexpr std::uint64_t flag_big_time = 0x8;

// What of a directory has names lies in front of this, in bytes of it.
constexpr std::uint64_t end_of_names = std::uint64_t{32} * io::GiB;

// Consecutive blocks of a file; `block` counts from the file system's first.
struct Extent {
  std::uint64_t logical = 0;
  std::uint64_t block = 0;
  std::uint64_t count = 0;
  bool written = true;  // else it reads as zeros
};

// The map of one file.
class ForkReader {
 public:
  using Visitor = std::function<void(const Extent&)>;

  ForkReader(DiskView& volume, const Geometry& geometry, std::uint64_t inode, const Visitor& visit)
      : volume_(volume), geometry_(geometry), inode_(inode), visit_(visit) {}

  void read(const Fork& fork) {
    if (fork.format == ForkFormat::extents) {
      extents(fork.bytes, fork.extents);
    } else if (fork.format == ForkFormat::btree) {
      root(fork.bytes);
    }
  }

 private:
  void check(bool holds) const {
    if (holds) return;
    throw Doubt(Reason::damaged, fmt::format("has a damaged map of inode {}", inode_),
                std::string(repair));
  }

  // 128 bits each: a flag, 54 bits of the place in the file, 52 of the block, 21 of the count.
  void extents(Bytes records, std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::uint64_t high = u64(records, 16 * i), low = u64(records, 16 * i + 8);
      Extent extent;
      extent.logical = high >> 9 & ((std::uint64_t{1} << 54) - 1);
      extent.count = low & 0x1fffff;
      extent.block = plain((high & 0x1ff) << 43 | low >> 21, extent.count);
      extent.written = high >> 63 == 0;
      check(extent.logical >= next_);
      next_ = extent.logical + extent.count;
      visit_(extent);
    }
  }

  std::uint64_t plain(std::uint64_t number, std::uint64_t count) const {
    const std::uint64_t ag = number >> geometry_.ag_block_bits;
    const std::uint64_t in_group = number & ((std::uint64_t{1} << geometry_.ag_block_bits) - 1);
    check(ag < geometry_.ag_count);
    const std::uint64_t length = geometry_.length(static_cast<std::uint32_t>(ag));
    check(in_group < length && count > 0 && count <= length - in_group);
    return geometry_.first_block(static_cast<std::uint32_t>(ag)) + in_group;
  }

  // The root of a map that is a tree lies in the inode.
  void root(Bytes fork) {
    constexpr std::size_t header_size = 4;
    check(fork.size() >= header_size);
    const std::size_t most = (fork.size() - header_size) / 16;
    const unsigned level = u16(fork, 0);
    const std::size_t count = u16(fork, 2);
    check(level > 0 && level <= 9 && count > 0 && count <= most);
    for (std::size_t i = 0; i < count; ++i) {
      node(u64(fork, header_size + 8 * (most + i)), level - 1);
    }
  }

  // Never more blocks of maps than the file system has.
  void node(std::uint64_t number, unsigned level) {
    const std::uint64_t place = plain(number, 1);
    check(++map_blocks_ <= geometry_.blocks);
    const auto block = volume_.read(place * geometry_.block_size, geometry_.block_size);
    check(u32(block, 0) == (geometry_.is_v5 ? 0x424d4133 : 0x424d4150));  // "BMA3", "BMAP"
    if (geometry_.is_v5) check(has_right_checksum(block, 64) && u64(block, 56) == inode_);
    const std::size_t header_size = geometry_.is_v5 ? 72 : 24;
    const std::size_t most = (block.size() - header_size) / 16;
    const std::size_t count = u16(block, 6);
    check(u16(block, 4) == level && count <= most);
    if (level == 0) return extents(Bytes(block).subspan(header_size), count);
    for (std::size_t i = 0; i < count; ++i) {
      node(u64(block, header_size + 8 * (most + i)), level - 1);
    }
  }

  DiskView& volume_;
  const Geometry& geometry_;
  std::uint64_t inode_;
  const Visitor& visit_;
  std::uint64_t next_ = 0;
  std::uint64_t map_blocks_ = 0;
};

class XfsFiles final : public FileTree {
 public:
  explicit XfsFiles(DiskView& volume) : volume_(&volume), geometry_(read_geometry(volume)) {
    inode_bits_ =
        static_cast<unsigned>(std::countr_zero(geometry_.block_size / geometry_.inode_size));
    try {
      replay(volume);
    } catch (const Doubt& doubt) {
      replayed_view_.reset();
      volume_ = &volume;
      warning_ = "was not unmounted, and its log cannot be replayed here (" + doubt.because +
                 "): shown as it is";
    }
  }

  NodeId root() const override { return {geometry_.root_inode, 0}; }

  Node look_at(NodeId id) override {
    const auto inode = read_inode(id);
    Node node;
    node.kind = kind_of_mode(u16(inode, di_mode));
    node.permissions = u16(inode, di_mode) & 07777U;
    node.size = u64(inode, di_size);
    node.stored = std::min(u64(inode, di_nblocks), geometry_.blocks) * geometry_.block_size;
    node.owner = u32(inode, di_uid);
    node.group = u32(inode, di_gid);
    const unsigned version = u8(inode, di_version);
    node.links = version == 1 ? u16(inode, di_onlink) : u32(inode, di_nlink);
    node.may_share = version == 3 && (u64(inode, di_flags2) & flag_reflink) != 0;
    if (version == 3 && (u64(inode, di_flags2) & flag_big_time) != 0) {
      constexpr std::int64_t epoch = std::int64_t{1} << 31;  // nanoseconds since 1901
      node.modified = static_cast<std::int64_t>(u64(inode, di_mtime) / 1'000'000'000) - epoch;
    } else {
      node.modified = static_cast<std::int32_t>(u32(inode, di_mtime));
    }
    return node;
  }

  void list(NodeId folder, const EntryVisitor& visit) override {
    const auto bytes = read_inode(folder);
    const Inode inode = parse_inode(bytes, folder.number, geometry_);
    if (kind_of_mode(u16(bytes, di_mode)) != NodeKind::folder) damaged(folder, "is no directory");
    if (inode.data.format == ForkFormat::local) return short_form(inode.data.bytes, folder, visit);
    DirectoryBlocks blocks(*this, folder, visit);
    for_each_extent(inode, [&](const Extent& extent) { blocks.add(extent); });
    blocks.end();
  }

  FileMap map_of(NodeId id) override {
    const auto bytes = read_inode(id);
    const Inode inode = parse_inode(bytes, id.number, geometry_);
    const NodeKind kind = kind_of_mode(u16(bytes, di_mode));
    FileMap map;
    if (kind != NodeKind::file && kind != NodeKind::link) return map;
    map.size = u64(bytes, di_size);
    if (inode.data.format == ForkFormat::local) {
      if (map.size > inode.data.bytes.size()) damaged(id, "is longer than it can be");
      const Bytes content = inode.data.bytes.first(map.size);
      map.in_line.assign(content.begin(), content.end());
    } else if (kind == NodeKind::link) {
      read_long_link(inode, id, map);
    } else {
      for_each_extent(inode, [&](const Extent& extent) {
        const std::uint64_t block_size = geometry_.block_size;
        if (!extent.written || extent.logical > map.size / block_size) return;
        append_piece(map, extent.logical * block_size, extent.block * block_size,
                     extent.count * block_size);
      });
    }
    return map;
  }

 private:
  // Blocks of a directory are one or more blocks of the file system, not always in a row.
  class DirectoryBlocks {
   public:
    DirectoryBlocks(XfsFiles& files, NodeId folder, const EntryVisitor& visit)
        : files_(files), folder_(folder), visit_(visit) {}

    void add(const Extent& extent) {
      const std::uint32_t block_size = files_.geometry_.block_size;
      for (std::uint64_t i = 0; i < extent.count && go_on_; ++i) {
        if (extent.logical + i >= end_of_names / block_size) return;
        if (++blocks_ > files_.geometry_.blocks) files_.damaged(folder_, "has too many blocks");
        const std::uint64_t place = (extent.block + i) * block_size;
        if (buffer_.empty()) place_ = place;
        const auto bytes = files_.volume_->read(place, block_size);
        buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
        if (buffer_.size() < files_.geometry_.directory_block_size) continue;
        go_on_ = files_.data_block(buffer_, place_, folder_, visit_);
        buffer_.clear();
      }
    }

    void end() const {
      if (go_on_ && !buffer_.empty()) files_.damaged(folder_, "has half of a block");
    }

   private:
    XfsFiles& files_;
    NodeId folder_;
    const EntryVisitor& visit_;
    std::vector<std::byte> buffer_;
    std::uint64_t place_ = 0;
    std::uint64_t blocks_ = 0;
    bool go_on_ = true;
  };

  void replay(DiskView& volume) {
    const LogState log = read_log(volume, geometry_);
    if (!log.replay_from) return;
    LogRing ring(volume, geometry_);
    replayed_.emplace(volume);
    replay_log(ring, log.end, *log.replay_from, geometry_, *replayed_);
    const DiskView all(volume.ring(), *replayed_, volume.stop());
    replayed_view_.emplace(all.part({volume.begin(), volume.size()}));
    volume_ = &*replayed_view_;
    geometry_ = read_geometry(*volume_);
    warning_ = "was not unmounted: shown as it is once its log is replayed";
  }

  // In the volume; nothing for a number that cannot be.
  [[nodiscard]] std::optional<std::uint64_t> place_of(NodeId id) const {
    const unsigned ag_bits = geometry_.ag_block_bits + inode_bits_;
    const std::uint64_t ag = id.number >> ag_bits;
    const std::uint64_t in_group = id.number & ((std::uint64_t{1} << ag_bits) - 1);
    if (ag >= geometry_.ag_count ||
        in_group >> inode_bits_ >= geometry_.length(static_cast<std::uint32_t>(ag))) {
      return std::nullopt;
    }
    return geometry_.first_block(static_cast<std::uint32_t>(ag)) * geometry_.block_size +
           in_group * geometry_.inode_size;
  }

  [[noreturn]] void damaged(NodeId id, std::string_view what) const {
    throw io::Error::format(volume_->name(), volume_->begin() + place_of(id).value_or(0),
                            fmt::format("inode {} {}; {}", id.number, what, repair));
  }

  std::vector<std::byte> read_inode(NodeId id) {
    const auto place = place_of(id);
    if (!place) damaged(id, "does not exist, and a name leads to it");
    std::vector<std::byte> inode = volume_->read(*place, geometry_.inode_size);
    if (!is_in_use(inode)) damaged(id, "is free, and a name leads to it");
    (void)parse_inode(inode, id.number, geometry_);
    return inode;
  }

  void for_each_extent(const Inode& inode, const ForkReader::Visitor& visit) {
    ForkReader(*volume_, geometry_, inode.number, visit).read(inode.data);
  }

  // How many entries there are, and whether inodes' numbers are long; then the parent's.
  void short_form(Bytes bytes, NodeId folder, const EntryVisitor& visit) const {
    if (bytes.size() < 6) damaged(folder, "is cut short");
    const unsigned count = u8(bytes, 0);
    const bool is_long = u8(bytes, 1) != 0;
    const std::size_t number_size = is_long ? 8 : 4;
    std::size_t at = 2 + number_size;
    for (unsigned i = 0; i < count; ++i) {
      constexpr std::size_t header = 3;
      if (at + header > bytes.size()) damaged(folder, "is cut short");
      const std::size_t length = u8(bytes, at);
      const std::size_t number_at = at + header + length + (geometry_.has_file_types ? 1 : 0);
      if (length == 0 || number_at + number_size > bytes.size()) damaged(folder, "is cut short");
      const std::uint64_t inode = is_long ? u64(bytes, number_at) : u32(bytes, number_at);
      if (!give(bytes.subspan(at + header, length), inode, visit)) return;
      at = number_at + number_size;
    }
  }

  [[nodiscard]] static bool give(Bytes name, std::uint64_t inode, const EntryVisitor& visit) {
    const std::string_view text(reinterpret_cast<const char*>(name.data()), name.size());
    return text == "." || text == ".." || visit({text, {inode, 0}});
  }

  // False: enough was seen.
  bool data_block(Bytes block, std::uint64_t place, NodeId folder,
                  const EntryVisitor& visit) const {
    constexpr std::uint32_t one_v5 = 0x58444233, data_v5 = 0x58444433;  // "XDB3", "XDD3"
    constexpr std::uint32_t one_v4 = 0x58443242, data_v4 = 0x58443244;  // "XD2B", "XD2D"
    const std::uint32_t magic = u32(block, 0);
    const bool is_only = magic == (geometry_.is_v5 ? one_v5 : one_v4);
    if (!is_only && magic != (geometry_.is_v5 ? data_v5 : data_v4))
      wrong(place, "its magic number");
    if (geometry_.is_v5 && !has_checksum_of_its_time(block)) wrong(place, "its checksum");
    if (geometry_.is_v5 && u64(block, 40) != folder.number) wrong(place, "its owner");
    std::size_t end = block.size();
    if (is_only) {  // what finds names by their hashes lies behind them
      const std::size_t hashes = u32(block, block.size() - 8);
      if (hashes > (block.size() - 8) / 8) wrong(place, "the size of its index");
      end -= 8 + 8 * hashes;
    }
    constexpr std::uint16_t unused = 0xffff;
    for (std::size_t at = geometry_.is_v5 ? 64 : 16; at + 8 <= end;) {
      std::size_t length = u16(block, at + 2);
      if (u16(block, at) != unused) {
        if (at + 9 > end) wrong(place + at, "an entry");
        const std::size_t name = u8(block, at + 8);
        length = (9 + name + (geometry_.has_file_types ? 1 : 0) + 2 + 7) / 8 * 8;
        if (name == 0 || length > end - at) wrong(place + at, "an entry");
        if (!give(block.subspan(at + 9, name), u64(block, at), visit)) return false;
      } else if (length < 8 || length % 8 != 0 || length > end - at) {
        wrong(place + at, "a gap");
      }
      at += length;
    }
    return true;
  }

  // What the log holds of a block has its old checksum: a kernel computes it when it writes.
  [[nodiscard]] bool has_checksum_of_its_time(Bytes block) const {
    return replayed_view_.has_value() || has_right_checksum(block, 4);
  }

  [[noreturn]] void wrong(std::uint64_t place, std::string_view what) const {
    throw io::Error::format(volume_->name(), volume_->begin() + place,
                            fmt::format("a block of a directory is damaged: {}; {}", what, repair));
  }

  // The text of a link that does not fit into its inode; with a header in each block of version 5.
  void read_long_link(const Inode& inode, NodeId id, FileMap& map) {
    constexpr std::uint64_t longest = 1024;
    if (map.size > longest) damaged(id, "is longer than a link can be");
    const std::size_t header = geometry_.is_v5 ? 56 : 0;
    for_each_extent(inode, [&](const Extent& extent) {
      for (std::uint64_t i = 0; i < extent.count && map.in_line.size() < map.size; ++i) {
        const auto block =
            volume_->read((extent.block + i) * geometry_.block_size, geometry_.block_size);
        const auto content = Bytes(block).subspan(header);
        const auto count = std::min<std::size_t>(content.size(), map.size - map.in_line.size());
        map.in_line.insert(map.in_line.end(), content.begin(),
                           content.begin() + static_cast<std::ptrdiff_t>(count));
      }
    });
    if (map.in_line.size() < map.size) damaged(id, "is cut short");
  }

  DiskView* volume_;
  Geometry geometry_;
  unsigned inode_bits_ = 0;  // of an inode's place in its block
  std::optional<ReplayedVolume> replayed_;
  std::optional<DiskView> replayed_view_;
};

}  // namespace

std::unique_ptr<FileTree> open_files(DiskView& volume) {
  return std::make_unique<XfsFiles>(volume);
}

}  // namespace formats::filesystems::xfs
