// The files of a volume that find_free_space() named, open to be read.
#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "formats/disks/cached_source.hpp"
#include "formats/disks/filesystems/files.hpp"
#include "formats/disks/opened_volume.hpp"

namespace formats {

// Belongs to the ring's thread.
class OpenedFiles {
 public:
  // Both outlive it. The type of `volume` is one of can_open_files(). Throws io::Error.
  OpenedFiles(DiskView& disk, const Volume& volume);

  [[nodiscard]] filesystems::FileTree& tree() { return *tree_; }
  // The volume, through a cache.
  [[nodiscard]] DiskView& view() { return *view_; }
  [[nodiscard]] const Volume& volume() const { return volume_; }
  // Where these bytes of the volume lie on the disk, in their order.
  [[nodiscard]] std::vector<io::ByteRange> places_of(io::ByteRange range) const {
    return opened_.places_of(range);
  }

  // The entry of this name in a folder. Throws io::Error.
  [[nodiscard]] std::optional<filesystems::NodeId> child(filesystems::NodeId folder,
                                                         std::string_view name);

 private:
  const Volume& volume_;
  OpenedVolume opened_;
  std::unique_ptr<CachedSource> cache_;
  std::unique_ptr<DiskView> view_;
  std::unique_ptr<filesystems::FileTree> tree_;
};

}  // namespace formats
