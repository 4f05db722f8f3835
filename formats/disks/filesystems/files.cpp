#include "formats/disks/filesystems/files.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "formats/disks/filesystems/btrfs/files.hpp"
#include "formats/disks/filesystems/doubt.hpp"
#include "formats/disks/filesystems/exfat/files.hpp"
#include "formats/disks/filesystems/ext/files.hpp"
#include "formats/disks/filesystems/fat/files.hpp"
#include "formats/disks/filesystems/ntfs/files.hpp"
#include "formats/disks/filesystems/xfs/files.hpp"
#include "io/error.hpp"

namespace formats::filesystems {
namespace {

struct Opener {
  std::string_view type;
  std::unique_ptr<FileTree> (*open)(DiskView& volume);
};

constexpr auto openers = std::to_array<Opener>({
    {"ext2", ext::open_files},
    {"ext3", ext::open_files},
    {"ext4", ext::open_files},
    {"vfat", fat::open_files},
    {"exfat", exfat::open_files},
    {"ntfs", ntfs::open_files},
    {"xfs", xfs::open_files},
    {"btrfs", btrfs::open_files},
});

const Opener* find_opener(std::string_view type) {
  const auto* const found = std::find_if(openers.begin(), openers.end(),
                                         [&](const Opener& one) { return one.type == type; });
  return found == openers.end() ? nullptr : found;
}

// The parsers below speak of doubts, whose callers keep a volume whole; who wants to see its files
// is told what is wrong.
class CheckedTree final : public FileTree {
 public:
  CheckedTree(DiskView& volume, std::unique_ptr<FileTree> tree)
      : volume_(volume), tree_(std::move(tree)) {
    warning_ = tree_->warning();
  }

  NodeId root() const override { return tree_->root(); }
  bool folds_case() const override { return tree_->folds_case(); }
  void count_shared_once() override { tree_->count_shared_once(); }
  Node look_at(NodeId id) override {
    return told(volume_, [&] { return tree_->look_at(id); });
  }
  void list(NodeId folder, const EntryVisitor& visit) override {
    told(volume_, [&] { tree_->list(folder, visit); });
  }
  FileMap map_of(NodeId id) override {
    return told(volume_, [&] { return tree_->map_of(id); });
  }

  template <class Work>
  static auto told(const DiskView& volume, const Work& work) -> decltype(work()) {
    try {
      return work();
    } catch (const Doubt& doubt) {
      throw io::Error::format(
          volume.name(), volume.begin(),
          fmt::format("the file system that begins here {}{}{}", doubt.because,
                      doubt.remedy.empty() ? "" : "; to change that: ", doubt.remedy));
    }
  }

 private:
  DiskView& volume_;
  std::unique_ptr<FileTree> tree_;
};

}  // namespace

bool can_open_files(std::string_view type) { return find_opener(type) != nullptr; }

std::unique_ptr<FileTree> open_files(DiskView& volume, std::string_view type) {
  const Opener* const opener = find_opener(type);
  if (opener == nullptr) return nullptr;
  auto tree = CheckedTree::told(volume, [&] { return opener->open(volume); });
  return std::make_unique<CheckedTree>(volume, std::move(tree));
}

}  // namespace formats::filesystems
