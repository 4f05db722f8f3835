#include "formats/disks/filesystems/btrfs/walk_files.hpp"

#include <unordered_set>

#include <fmt/format.h>

#include "formats/disks/filesystems/btrfs/file_extent.hpp"
#include "formats/disks/filesystems/btrfs/tree.hpp"
#include "formats/disks/filesystems/doubt.hpp"

namespace formats::filesystems::btrfs {
namespace {

using Bytes = std::span<const std::byte>;

enum TreeNumber : std::uint64_t {
  first_files = 5,
  first_subvolume = 256,
  last_subvolume = ~std::uint64_t{255},
  relocated_data = ~std::uint64_t{8},   // -9
  relocated_trees = ~std::uint64_t{7},  // -8: copies that a balance makes, and drops when mounted
};

bool holds_files(std::uint64_t tree) {
  return tree == first_files || (tree >= first_subvolume && tree <= last_subvolume);
}

class FileWalk {
 public:
  FileWalk(DiskView& volume, const Superblock& super, const ChunkMap& chunks, const Gaps& gaps)
      : super_(super), chunks_(chunks), gaps_(gaps), reader_(volume, super, chunks) {}

  void run() {
    reader_.walk(
        super_.root_tree, lowest_key, highest_key,
        [&](const Key& key, Bytes item) {
          if (key.type == root_item) tree(key.object, parse_root(key.object, item));
          if (key.type == file_extent) extent(super_.root_tree.owner, key, item);
        },
        [&](std::uint64_t address, unsigned) { return enter(super_.root_tree.owner, address); });
  }

 private:
  // Trees that are being deleted are not looked at: parts of them are gone already.
  void tree(std::uint64_t number, RootItem item) {
    if (item.references == 0 || number == relocated_trees) return;
    item.root.shared = holds_files(number);
    const bool has_files = item.root.shared || number == relocated_data;
    reader_.walk(
        item.root, lowest_key, highest_key,
        [&](const Key& key, Bytes content) {
          if (has_files && key.type == file_extent) extent(number, key, content);
        },
        // What the leaves of the others lie in is known without them.
        [&](std::uint64_t address, unsigned level) {
          return enter(number, address) && (has_files || level > 0);
        });
  }

  bool enter(std::uint64_t tree, std::uint64_t address) {
    constexpr std::size_t most_blocks = std::size_t{1} << 21;
    if (!seen_.insert(address).second) return false;
    if (seen_.size() > most_blocks) {
      throw Doubt(Reason::unsupported, "it has more tree blocks than can be compared here");
    }
    if (is_free(address, super_.node_size)) {
      throw Doubt(Reason::damaged,
                  fmt::format("its tree {} has blocks that the extent tree calls free", tree),
                  std::string(repair));
    }
    return true;
  }

  [[nodiscard]] bool is_free(std::uint64_t address, std::uint64_t length) const {
    return chunks_.find(address, length) == nullptr || gaps_.have_any_of(address, length);
  }

  void extent(std::uint64_t tree, const Key& key, Bytes item) const {
    const auto range = parse_file_extent(tree, key, item, super_.sector_size);
    if (!range || !is_free(range->offset, range->length)) return;
    throw Doubt(Reason::damaged,
                fmt::format("inode {} of its tree {} uses blocks that the extent tree calls free",
                            key.object, tree),
                std::string(repair));
  }

  const Superblock& super_;
  const ChunkMap& chunks_;
  const Gaps& gaps_;
  TreeReader reader_;
  std::unordered_set<std::uint64_t> seen_;
};

}  // namespace

void walk_files(DiskView& volume, const Superblock& super, const ChunkMap& chunks,
                const Gaps& gaps) {
  FileWalk(volume, super, chunks, gaps).run();
}

}  // namespace formats::filesystems::btrfs
