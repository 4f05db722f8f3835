#include "formats/disks/filesystems/xfs/log_replay.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <optional>

#include "formats/bytes/big_endian.hpp"
#include "formats/bytes/little_endian.hpp"
#include "formats/disks/filesystems/xfs/log.hpp"
#include "formats/disks/filesystems/xfs/log_record.hpp"
#include "formats/disks/filesystems/xfs/log_transactions.hpp"
#include "formats/disks/filesystems/xfs/replay_inode.hpp"
#include "formats/disks/filesystems/xfs/sealed_block.hpp"
#include "formats/disks/filesystems/xfs/words.hpp"

namespace formats::filesystems::xfs {
namespace {

using Bytes = std::span<const std::byte>;

enum ItemType : std::uint16_t {
  first_intent = 0x1236,  // EFI, EFD
  last_free_intent = 0x1237,
  unlinked_inode = 0x1238,
  inode_item = 0x123b,
  buffer_item = 0x123c,
  dquot_item = 0x123d,
  quota_off = 0x123e,
  create_inodes = 0x123f,
  first_later_intent = 0x1240,  // reverse maps, reference counts, maps, attributes, exchanges
  last_later_intent = 0x1249,
};

// Flags of a buffer item (struct xfs_buf_log_format).
enum BufferFlags : std::uint16_t {
  holds_inodes = 0x1,  // of which it tells the lists of unlinked ones
  cancels = 0x2,
  holds_quota = 0x4 | 0x8 | 0x10,
};

constexpr std::uint64_t sector = log_block_size;
constexpr std::size_t chunk = 128;  // what one bit of a buffer's map stands for
constexpr std::uint64_t longest_buffer = std::uint64_t{64} << 10;  // XFS_MAX_BLOCKSIZE
// How many cancelled buffers new chunks of inodes may be compared with, over the whole log.
constexpr std::uint64_t most_comparisons = std::uint64_t{1} << 24;

std::uint16_t low16(Bytes bytes, std::size_t at) {
  return load_little_endian<std::uint16_t>(bytes, at);
}
std::uint32_t low32(Bytes bytes, std::size_t at) {
  return load_little_endian<std::uint32_t>(bytes, at);
}
std::uint64_t low64(Bytes bytes, std::size_t at) {
  return load_little_endian<std::uint64_t>(bytes, at);
}

struct BufferItem {
  std::uint16_t flags = 0;
  io::ByteRange place;  // in bytes of the volume
  Bytes map;            // words of 32 bits
};

class Replay {
 public:
  Replay(const Geometry& geometry, ReplayedVolume& volume) : geometry_(geometry), volume_(volume) {}

  // First pass: which buffers were given up, and how often.
  void note_cancelled(const LogTransaction& transaction) {
    for (const LogItem& item : transaction.items) {
      check_log(item.regions.size() == item.expected);
      if (type_of(item) != buffer_item) continue;
      const BufferItem buffer = parse_buffer(item);
      if ((buffer.flags & cancels) != 0) ++cancelled_[key_of(buffer.place)];
      check_log(cancelled_.size() <= (std::size_t{1} << 20));
    }
  }

  // Second pass. Buffers come first, and inodes after the buffers that they lie in.
  void apply(const LogTransaction& transaction) {
    lsn_ = transaction.lsn;
    for (const LogItem& item : transaction.items) {
      const std::uint16_t type = type_of(item);
      if (type == buffer_item && (parse_buffer(item).flags & cancels) == 0) apply_buffer(item);
      if (type == create_inodes) apply_creation(item);
    }
    for (const LogItem& item : transaction.items) apply_object(item);
    for (const LogItem& item : transaction.items) {
      if (type_of(item) != buffer_item) continue;
      const BufferItem buffer = parse_buffer(item);
      if ((buffer.flags & cancels) == 0) continue;
      const auto found = cancelled_.find(key_of(buffer.place));
      if (found != cancelled_.end() && --found->second == 0) cancelled_.erase(found);
    }
  }

 private:
  using Place = std::pair<std::uint64_t, std::uint64_t>;
  static Place key_of(io::ByteRange range) { return {range.offset, range.length}; }

  static std::uint16_t type_of(const LogItem& item) { return low16(item.regions.front(), 0); }

  [[nodiscard]] io::ByteRange checked(std::uint64_t block, std::uint64_t blocks) const {
    const std::uint64_t most = geometry_.size() / sector;
    check_log(blocks > 0 && blocks <= most && block <= most - blocks);
    return {block * sector, blocks * sector};
  }

  [[nodiscard]] BufferItem parse_buffer(const LogItem& item) const {
    constexpr std::size_t header_size = 20;
    const Bytes format = item.regions.front();
    check_log(format.size() >= header_size);
    const std::size_t words = low32(format, 16);
    check_log(words <= (format.size() - header_size) / 4);
    const io::ByteRange place = checked(low64(format, 8), low16(format, 6));
    check_log(place.length <= longest_buffer);
    return {
        .flags = low16(format, 4), .place = place, .map = format.subspan(header_size, 4 * words)};
  }

  void apply_buffer(const LogItem& item) {
    const BufferItem buffer = parse_buffer(item);
    volume_.touch(buffer.place);
    if (cancelled_.contains(key_of(buffer.place))) return;
    // Neither says anything about what is free.
    if ((buffer.flags & (holds_inodes | holds_quota)) != 0) return;
    if (item.regions.size() == 1) return;  // it changes nothing
    std::vector<std::byte> content = volume_.read_now(buffer.place.offset, buffer.place.length);
    if (is_newer(content, lsn_, geometry_)) return;
    copy_regions(item, buffer, content);
    seal(content, geometry_);
    volume_.write(buffer.place.offset, content);
  }

  // Each run of set bits is a region; a run may be cut into several.
  static void copy_regions(const LogItem& item, const BufferItem& buffer,
                           std::vector<std::byte>& content) {
    const auto is_set = [&](std::size_t bit) {
      return bit / 32 < buffer.map.size() / 4 &&
             (low32(buffer.map, bit / 32 * 4) >> (bit % 32) & 1) != 0;
    };
    const std::size_t bits = buffer.map.size() * 8;
    std::size_t region = 1;
    for (std::size_t bit = 0; bit < bits;) {
      if (!is_set(bit)) {
        ++bit;
        continue;
      }
      std::size_t end = bit;
      while (is_set(end)) ++end;
      check_log(region < item.regions.size());
      const Bytes bytes = item.regions[region++];
      const std::size_t count = std::min(end - bit, bytes.size() / chunk);
      check_log(count > 0 && (bit + count) * chunk <= content.size());
      std::copy_n(bytes.begin(), count * chunk,
                  content.begin() + static_cast<std::ptrdiff_t>(bit * chunk));
      bit += count;
    }
    check_log(region == item.regions.size());
  }

  // A new chunk of inodes (struct xfs_icreate_log); its numbers are big-endian.
  void apply_creation(const LogItem& item) {
    const Bytes format = item.regions.front();
    check_log(format.size() >= 28 && geometry_.is_v5);
    const std::uint32_t ag = u32(format, 4);
    const std::uint32_t block = u32(format, 8);
    const std::uint32_t count = u32(format, 12);
    const std::uint32_t length = u32(format, 20);
    const std::uint32_t size = geometry_.inode_size;
    check_log(ag < geometry_.ag_count && u32(format, 16) == size && count > 0 && count <= 4096);
    check_log(block > 0 && length > 0 && block < geometry_.length(ag) &&
              length <= geometry_.length(ag) - block);
    check_log(std::uint64_t{count} * size == std::uint64_t{length} * geometry_.block_size);
    const io::ByteRange place{(geometry_.first_block(ag) + block) * geometry_.block_size,
                              std::uint64_t{count} * size};
    volume_.touch(place);
    if (is_given_up(place)) return;
    const std::uint64_t first =
        ((std::uint64_t{ag} << geometry_.ag_block_bits) + block) * (geometry_.block_size / size);
    for (std::uint32_t i = 0; i < count; ++i) {
      volume_.write(place.offset + std::uint64_t{i} * size, new_inode(first + i, geometry_));
    }
  }

  // Whether a cancelled buffer overlaps it. Buffers are short, so the search is a window.
  [[nodiscard]] bool is_given_up(io::ByteRange place) {
    const std::uint64_t first = place.offset - std::min(place.offset, longest_buffer);
    for (auto one = cancelled_.lower_bound({first, 0});
         one != cancelled_.end() && one->first.first < place.end(); ++one) {
      if (++comparisons_ > most_comparisons) cannot_replay("its log cancels too much");
      if (one->first.first + one->first.second > place.offset) return true;
    }
    return false;
  }

  void apply_object(const LogItem& item) {
    const std::uint16_t type = type_of(item);
    switch (type) {
      case buffer_item:
      case create_inodes:
      case quota_off:
        return;
      case inode_item:
        return apply_inode(item);
      case dquot_item: {
        const Bytes format = item.regions.front();
        check_log(format.size() >= 20);
        volume_.touch(checked(low64(format, 8), low32(format, 16)));
        return;
      }
      default:
        if (type >= first_intent && type <= last_free_intent) return;
        if (type >= first_later_intent && type <= last_later_intent) return;
        cannot_replay("its log has items of an unknown kind");
    }
  }

  void apply_inode(const LogItem& item) {
    const InodeItem inode = parse_inode_item(item, geometry_);
    const io::ByteRange buffer = checked(inode.buffer_block, inode.buffer_blocks);
    volume_.touch(buffer);
    if (cancelled_.contains(key_of(buffer))) return;
    check_log(inode.place.offset >= buffer.offset && inode.place.end() <= buffer.end());
    std::vector<std::byte> content = volume_.read_now(inode.place.offset, inode.place.length);
    if (replay_inode(inode, item, lsn_, geometry_, content)) {
      volume_.write(inode.place.offset, content);
    }
  }

  const Geometry& geometry_;
  ReplayedVolume& volume_;
  std::map<Place, unsigned> cancelled_;
  std::uint64_t comparisons_ = 0;  // made by is_given_up()
  std::uint64_t lsn_ = 0;          // of the transaction
};

}  // namespace

void replay_log(LogRing& ring, const LogEnd& end, std::uint32_t tail, const Geometry& geometry,
                ReplayedVolume& volume) {
  constexpr std::uint32_t most_blocks = (std::uint32_t{512} << 20) / log_block_size;
  const std::uint32_t length = ring.wrapped(std::uint64_t{end.block} + ring.blocks() - tail);
  if (length > most_blocks) cannot_replay("its log holds too much");
  Replay replay(geometry, volume);
  const auto pass = [&](const LogTransactions::Commit& commit) {
    LogTransactions transactions(commit);
    std::uint32_t block = tail;
    for (std::uint32_t left = length; left > 0;) {
      const LogRecord record = read_record(ring, block, geometry);
      const bool is_before = end.block == 0 || block < end.block;
      check_log(record.blocks <= left &&
                record.cycle == (is_before ? end.cycle_before : end.cycle_before - 1));
      transactions.add(record);
      left -= record.blocks;
      block = ring.wrapped(std::uint64_t{block} + record.blocks);
    }
  };
  pass([&](const LogTransaction& transaction) { replay.note_cancelled(transaction); });
  pass([&](const LogTransaction& transaction) { replay.apply(transaction); });
}

}  // namespace formats::filesystems::xfs
