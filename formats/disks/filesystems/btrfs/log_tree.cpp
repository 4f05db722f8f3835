#include "formats/disks/filesystems/btrfs/log_tree.hpp"

#include "formats/disks/filesystems/btrfs/file_extent.hpp"
#include "formats/disks/filesystems/btrfs/tree.hpp"
#include "formats/disks/filesystems/doubt.hpp"

namespace formats::filesystems::btrfs {
namespace {

using Bytes = std::span<const std::byte>;

class LogReader {
 public:
  LogReader(DiskView& volume, const Superblock& super, const ChunkMap& chunks)
      : super_(super), chunks_(chunks), reader_(volume, super, chunks) {}

  std::vector<io::ByteRange> run() {
    const TreeRoot& root = *super_.log_tree;
    walk(root, [&](const Key& key, Bytes item) {
      if (key.type != root_item) return;
      TreeRoot log = parse_root(key.offset, item).root;  // of the subvolume key.offset
      log.owner = root.owner;
      walk(log, [&](const Key& file, Bytes extent) {
        if (file.type != file_extent) return;
        if (const auto range = parse_file_extent(log.owner, file, extent, super_.sector_size)) {
          add(*range);
        }
      });
    });
    return std::move(used_);
  }

 private:
  void walk(const TreeRoot& root, const TreeReader::Visitor& visitor) {
    reader_.walk(root, lowest_key, highest_key, visitor, [&](std::uint64_t address, unsigned) {
      add({address, super_.node_size});
      return true;
    });
  }

  void add(io::ByteRange range) {
    constexpr std::size_t most = std::size_t{1} << 20;
    if (chunks_.find(range.offset, range.length) == nullptr || used_.size() == most) {
      throw Doubt(Reason::needs_replay, "its log tree cannot be followed",
                  "mount and unmount it, or freeze it while it is read (fsfreeze)");
    }
    used_.push_back(range);
  }

  const Superblock& super_;
  const ChunkMap& chunks_;
  TreeReader reader_;
  std::vector<io::ByteRange> used_;
};

}  // namespace

std::vector<io::ByteRange> read_log(DiskView& volume, const Superblock& super,
                                    const ChunkMap& chunks) {
  return LogReader(volume, super, chunks).run();
}

}  // namespace formats::filesystems::btrfs
