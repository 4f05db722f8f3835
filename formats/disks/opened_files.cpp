#include "formats/disks/opened_files.hpp"

namespace formats {
namespace {

using filesystems::Entry;
using filesystems::NodeId;

std::string folded(std::string_view name) {
  std::string text(name);
  for (char& c : text) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
  return text;
}

}  // namespace

OpenedFiles::OpenedFiles(DiskView& disk, const Volume& volume)
    : volume_(volume), opened_(disk, volume.id) {
  DiskView& plain = opened_.view();
  cache_ = std::make_unique<CachedSource>(plain.source());
  const DiskView all(plain.ring(), *cache_, plain.stop());
  view_ = std::make_unique<DiskView>(all.part({plain.begin(), plain.size()}));
  tree_ = filesystems::open_files(*view_, volume.file_system.type);
}

std::optional<NodeId> OpenedFiles::child(NodeId folder, std::string_view name) {
  std::optional<NodeId> found;
  const std::string other_case = tree_->folds_case() ? folded(name) : std::string(name);
  tree_->list(folder, [&](const Entry& entry) {
    const bool exact = entry.name == name;
    if (exact || (!found && tree_->folds_case() && folded(entry.name) == other_case)) {
      found = entry.id;
    }
    return !exact;
  });
  return found;
}

}  // namespace formats
