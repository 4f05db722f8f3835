#include "formats/disks/filesystems/f2fs/checkpoint.hpp"

#include <algorithm>
#include <optional>
#include <string_view>

#include <fmt/format.h>

#include "formats/bytes/checksum.hpp"
#include "formats/disks/filesystems/doubt.hpp"
#include "formats/disks/filesystems/f2fs/damage.hpp"
#include "formats/disks/filesystems/f2fs/words.hpp"

namespace formats::filesystems::f2fs {
namespace {

using Bytes = std::span<const std::byte>;

// Offsets in the first block of a pack (struct f2fs_checkpoint), by the names of its fields.
enum CheckpointField : std::size_t {
  at_checkpoint_ver = 0,
  at_user_block_count = 8,
  at_valid_block_count = 16,
  at_free_segment_count = 32,
  at_cur_node_segno = 36,
  at_cur_node_blkoff = 68,
  at_cur_data_segno = 84,
  at_cur_data_blkoff = 116,
  at_ckpt_flags = 132,
  at_cp_pack_total_block_count = 136,
  at_cp_pack_start_sum = 140,
  at_valid_node_count = 144,
  at_sit_ver_bitmap_bytesize = 156,
  at_nat_ver_bitmap_bytesize = 160,
  at_checksum_offset = 164,
  at_bitmaps = 192,
};
constexpr std::size_t last_checksum_offset = block_size - 4;

enum CheckpointFlag : std::uint32_t {
  unmounted = 0x1,
  compact_summaries = 0x4,
  in_error = 0x8,
  needs_fsck = 0x10,
  large_nat_bitmap = 0x400,
  quota_needs_fsck = 0x800,
  disabled = 0x1000,
  disabled_quickly = 0x2000,
  being_resized = 0x4000,
  // Orphans, fast boot, two kinds of recovery, bits of the NAT, trimmed: the maps stay as they are.
  known_flags = unmounted | compact_summaries | in_error | needs_fsck | large_nat_bitmap |
                quota_needs_fsck | disabled | disabled_quickly | being_resized | 0x2 | 0x20 | 0x40 |
                0x80 | 0x100 | 0x200,
};

constexpr std::size_t summary_entries_size = std::size_t{512} * 7;
constexpr std::size_t journal_size = block_size - summary_entries_size - 5;
constexpr std::uint32_t kinds = 3;  // hot, warm, cold

constexpr Structure in_checkpoint{"its checkpoint"};

bool has_right_checksum(Bytes block) {
  const std::size_t at = u32(block, at_checksum_offset);
  if (at < at_bitmaps || at > last_checksum_offset) return false;
  std::uint32_t computed = checksum(magic, block.first(at));
  if (at < last_checksum_offset) computed = checksum(computed, block.subspan(at + 4));
  return checksum_fits(u32(block, at), computed);
}

// A pack, from its first block on. Both have to be whole: the one that is not could be the newer.
class Pack {
 public:
  Pack(DiskView& volume, std::uint64_t address)
      : volume_(volume), address_(address), first_(read(0)) {
    in_checkpoint.check(has_right_checksum(first_), "wrong checksum");
    total_ = u32(first_, at_cp_pack_total_block_count);
    in_checkpoint.check(total_ > 2 && total_ <= segment_blocks, "length");
    const auto last = read(total_ - 1);
    in_checkpoint.check(has_right_checksum(last) && u64(last, at_checkpoint_ver) == version(),
                        "it was not written to its end");
  }

  [[nodiscard]] Bytes first() const { return first_; }
  [[nodiscard]] std::uint64_t version() const { return u64(first_, at_checkpoint_ver); }
  [[nodiscard]] std::uint32_t total() const { return total_; }
  [[nodiscard]] io::ByteRange first_range() const { return {address_ * block_size, block_size}; }
  [[nodiscard]] std::vector<std::byte> read(std::uint32_t block, std::uint32_t count = 1) const {
    return volume_.read((address_ + block) * block_size, std::size_t{count} * block_size);
  }

 private:
  DiskView& volume_;
  std::uint64_t address_;
  std::vector<std::byte> first_;
  std::uint32_t total_ = 0;
};

void check_flags(std::uint32_t flags) {
  const auto any = [&](std::uint32_t wanted) { return (flags & wanted) != 0; };
  if (any(in_error | needs_fsck)) {
    throw Doubt(Reason::damaged, "it is marked as damaged", std::string(repair));
  }
  if (any(being_resized)) {
    throw Doubt(Reason::damaged, "it was being resized when it stopped", std::string(repair));
  }
  if (any(quota_needs_fsck)) {
    throw Doubt(Reason::damaged, "its quotas are marked as damaged", std::string(repair));
  }
  if (any(disabled | disabled_quickly)) {
    throw Doubt(Reason::in_use, "its checkpoints are switched off, so that it can go back",
                "mount it with checkpoint=enable and unmount it");
  }
  if (any(~std::uint32_t{known_flags})) {
    throw Doubt(Reason::unsupported,
                fmt::format("its checkpoint has flags that are not known here ({:#x})",
                            flags & ~std::uint32_t{known_flags}));
  }
  if (!any(unmounted)) {
    throw Doubt(Reason::needs_replay, "it was not unmounted", "mount and unmount it");
  }
}

class CheckpointReader {
 public:
  CheckpointReader(const Geometry& geometry, const Pack& pack)
      : geometry_(geometry), pack_(pack), first_(pack.first()), flags_(u32(first_, at_ckpt_flags)) {
    check_flags(flags_);
  }

  Checkpoint read() {
    result_.version = pack_.version();
    result_.valid_blocks = u64(first_, at_valid_block_count);
    result_.valid_nodes = u32(first_, at_valid_node_count);
    result_.free_segments = u32(first_, at_free_segment_count);
    const std::uint64_t for_users = u64(first_, at_user_block_count);
    in_checkpoint.check(for_users <= geometry_.main_blocks() && result_.valid_blocks <= for_users,
                        "number of blocks");
    read_current(at_cur_node_segno, at_cur_node_blkoff);
    read_current(at_cur_data_segno, at_cur_data_blkoff);
    read_bitmaps();
    read_journals();
    return std::move(result_);
  }

 private:
  // One that is only read has but one of each.
  void read_current(CheckpointField segments, CheckpointField offsets) {
    for (std::size_t i = 0; i < (geometry_.is_read_only ? 1 : kinds); ++i) {
      const CurrentSegment one{u32(first_, segments + 4 * i), u16(first_, offsets + 2 * i)};
      in_checkpoint.check(one.segment < geometry_.segments && one.offset < segment_blocks,
                          "current segments");
      result_.current.push_back(one);
    }
  }

  void read_bitmaps() {
    const std::size_t sit_size = u32(first_, at_sit_ver_bitmap_bytesize);
    const std::size_t nat_size = u32(first_, at_nat_ver_bitmap_bytesize);
    in_checkpoint.check(
        sit_size == geometry_.sit_blocks / 8 && nat_size == geometry_.nat_blocks / 8,
        "size of its bitmaps");
    const auto blocks = pack_.read(0, 1 + geometry_.checkpoint_payload);
    std::size_t sit = at_bitmaps;
    std::size_t nat = at_bitmaps + sit_size;
    std::size_t sit_end = last_checksum_offset;
    std::size_t nat_end = last_checksum_offset;
    if ((flags_ & large_nat_bitmap) != 0) {
      in_checkpoint.check(u32(first_, at_checksum_offset) == at_bitmaps, "place of its checksum");
      nat = at_bitmaps + 4;
      sit = nat + nat_size;
      sit_end = nat_end = blocks.size();
    } else if (geometry_.checkpoint_payload > 0) {
      nat = at_bitmaps;
      sit = block_size;
      sit_end = blocks.size();
    }
    in_checkpoint.check(sit_size <= sit_end && sit <= sit_end - sit_size, "place of its bitmaps");
    in_checkpoint.check(nat_size <= nat_end && nat <= nat_end - nat_size, "place of its bitmaps");
    const auto copy = [&](std::size_t at, std::size_t size) {
      const Bytes bits = Bytes(blocks).subspan(at, size);
      return std::vector<std::byte>(bits.begin(), bits.end());
    };
    result_.sit_bitmap = copy(sit, sit_size);
    result_.nat_bitmap = copy(nat, nat_size);
  }

  // With the summaries of hot data (NAT) and cold data (SIT).
  void read_journals() {
    const std::uint32_t start = u32(first_, at_cp_pack_start_sum);
    in_checkpoint.check(start > geometry_.checkpoint_payload && start < pack_.total() - 1,
                        "place of summaries");
    const auto journal = [&](std::uint32_t block, std::size_t at) {
      const auto bytes = pack_.read(block);
      const Bytes part = Bytes(bytes).subspan(at, journal_size);
      return std::vector<std::byte>(part.begin(), part.end());
    };
    if ((flags_ & compact_summaries) != 0) {
      result_.nat_journal = journal(start, 0);
      result_.sit_journal = journal(start, journal_size);
      return;
    }
    // Counted from the end, of three kinds of data and three of nodes, and the last block.
    constexpr std::uint32_t from_end = 2 * kinds + 1;
    in_checkpoint.check(pack_.total() > from_end && pack_.total() - from_end >= start,
                        "place of summaries");
    const std::uint32_t hot_data = pack_.total() - from_end;
    result_.nat_journal = journal(hot_data, summary_entries_size);
    result_.sit_journal = journal(hot_data + 2, summary_entries_size);
  }

  const Geometry& geometry_;
  const Pack& pack_;
  Bytes first_;
  std::uint32_t flags_;
  Checkpoint result_;
};

// Where the next node goes that a sync of a file writes. A mount looks there, also after a clean
// unmount: the first sync comes before the first new checkpoint.
void check_nothing_was_synced(DiskView& volume, const Geometry& geometry, Checkpoint& checkpoint) {
  if (geometry.is_read_only) return;
  constexpr std::size_t warm_nodes = 1;
  constexpr std::size_t at_node_version = block_size - 12;
  const CurrentSegment& next = checkpoint.current[warm_nodes];
  const std::uint64_t address =
      geometry.main + std::uint64_t{next.segment} * segment_blocks + next.offset;
  const auto node = volume.read(address * block_size, block_size);
  // The upper half may be a checksum of the checkpoint, or nothing.
  if (u32(node, at_node_version) == static_cast<std::uint32_t>(checkpoint.version)) {
    throw Doubt(Reason::needs_replay, "files were synced after its last checkpoint",
                "mount and unmount it");
  }
  checkpoint.witnesses.emplace_back(address * block_size, block_size);
}

}  // namespace

Checkpoint read_checkpoint(DiskView& volume, const Geometry& geometry) {
  const Pack first(volume, geometry.checkpoints);
  const Pack second(volume, std::uint64_t{geometry.checkpoints} + segment_blocks);
  const bool second_is_newer = static_cast<std::int64_t>(second.version() - first.version()) > 0;
  Checkpoint checkpoint = CheckpointReader(geometry, second_is_newer ? second : first).read();
  checkpoint.witnesses = {first.first_range(), second.first_range()};
  check_nothing_was_synced(volume, geometry, checkpoint);
  return checkpoint;
}

}  // namespace formats::filesystems::f2fs
