#include "formats/disks/filesystems/ext.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "formats/bytes/little_endian.hpp"
#include "formats/disks/filesystems/doubt.hpp"
#include "formats/disks/filesystems/ext/free_blocks.hpp"
#include "formats/disks/filesystems/ext/groups.hpp"
#include "formats/disks/filesystems/ext/inode_blocks.hpp"
#include "formats/disks/filesystems/ext/journal.hpp"
#include "formats/disks/filesystems/ext/superblock.hpp"
#include "formats/disks/filesystems/ext/walk_files.hpp"
#include "formats/disks/filesystems/ranges.hpp"

namespace formats::filesystems {
namespace {

using ext::Blocks;
using ext::FileBlocks;
using ext::Group;
using ext::Superblock;

class ExtReader {
 public:
  ExtReader(DiskView& volume, const std::vector<std::byte>& superblock)
      : super_(ext::parse_superblock(superblock)),
        volume_(volume),
        blocks_(volume, super_.block_size, super_.blocks) {}

  void read(FileSystem& found, MapCheck check) {
    found.size = super_.size();
    found.block_size = std::uint64_t{super_.block_size} * super_.blocks_per_cluster;
    if (found.size >= volume_.size() + io::MiB) return;  // which probe() does not let pass
    found.witnesses = {{ext::superblock_offset, ext::superblock_size}};
    check_other_hosts(found);
    groups_ = ext::read_groups(blocks_, super_);
    if (super_.journal) read_journal(found);
    if (check == MapCheck::witnesses_only) return;
    found.free = ext::free_blocks(blocks_, super_, groups_);
    check_journal_is_used(found);
    if (check == MapCheck::with_files) ext::walk_files(blocks_, super_, groups_, found.free);
    found.map_is_believed = check == MapCheck::believed;
  }

 private:
  // Multiple mount protection: a block that each host that mounts it writes to all the time.
  void check_other_hosts(FileSystem& found) {
    if (!super_.multiple_mount_protection) return;
    constexpr std::uint32_t magic = 0x004D4D50;
    constexpr std::uint32_t clean = 0xFF4D4D50;
    const auto block = blocks_.read({super_.mmp_block, 1});
    if (load_little_endian<std::uint32_t>(block, 0) != magic ||
        load_little_endian<std::uint32_t>(block, 4) != clean) {
      throw Doubt(Reason::in_use, "another host uses it, or did until it crashed", ext::run_fsck);
    }
    add_witness(found, super_.mmp_block);
  }

  void read_journal(FileSystem& found) {
    journal_ = ext::blocks_of_inode(blocks_, super_, groups_, super_.journal_inode,
                                    ext::most_journal_blocks);
    const ext::Replay replay = super_.needs_recovery ? ext::replay_journal(blocks_, journal_)
                                                     : ext::check_empty_journal(blocks_, journal_);
    for (const std::uint64_t block : replay.witnesses) add_witness(found, block);
    if (!blocks_.any_replaced()) return;
    check_superblock_after_replay();
    groups_ = ext::read_groups(blocks_, super_);
  }

  void check_superblock_after_replay() {
    const std::uint64_t block = ext::superblock_offset / super_.block_size;
    const auto content = blocks_.read({block, 1});
    const std::size_t inside = ext::superblock_offset % super_.block_size;
    const auto bytes = std::span(content).subspan(inside, ext::superblock_size);
    if (!ext::is_superblock(bytes))
      throw Doubt(Reason::damaged, "its journal overwrites its superblock", ext::run_fsck);
    Superblock after = ext::parse_superblock(bytes);
    after.free_blocks = super_.free_blocks;
    after.needs_recovery = super_.needs_recovery;
    if (after != super_)
      throw Doubt(Reason::damaged, "was being resized or changed when it stopped", ext::run_fsck);
  }

  void add_witness(FileSystem& found, std::uint64_t block) const {
    found.witnesses.push_back({block * super_.block_size, super_.block_size});
  }

  void check_journal_is_used(const FileSystem& found) const {
    const auto bytes = [&](ext::BlockRange range) {
      return io::ByteRange{range.first * super_.block_size, range.count * super_.block_size};
    };
    const bool free =
        std::any_of(journal_.pieces.begin(), journal_.pieces.end(),
                    [&](ext::BlockRange piece) { return overlaps(found.free, bytes(piece)); }) ||
        std::any_of(journal_.tree.begin(), journal_.tree.end(), [&](std::uint64_t block) {
          return overlaps(found.free, bytes({block, 1}));
        });
    if (free) throw Doubt(Reason::damaged, "its bitmaps call its journal free", ext::run_fsck);
  }

  Superblock super_;
  DiskView& volume_;
  Blocks blocks_;
  std::vector<Group> groups_;
  FileBlocks journal_;
};

}  // namespace

std::optional<FileSystem> probe_ext(DiskView& volume, MapCheck check) {
  if (!volume.holds(ext::superblock_offset, ext::superblock_size)) return std::nullopt;
  const auto superblock = volume.read(ext::superblock_offset, ext::superblock_size);
  if (!ext::is_superblock(superblock)) return std::nullopt;
  ext::Name name = ext::name_of(superblock);
  FileSystem known;
  known.type = std::move(name.type);
  known.label = std::move(name.label);
  known.uuid = std::move(name.uuid);
  known.size = volume.size();
  return mapped(std::move(known), ext::run_fsck,
                [&](FileSystem& found) { ExtReader(volume, superblock).read(found, check); });
}

}  // namespace formats::filesystems
