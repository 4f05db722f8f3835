// Which clusters of exFAT are in use: what the bitmap says, and whether the files agree. Throws
// Doubt where one of them uses what the bitmap calls free.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "formats/disks/disk_view.hpp"
#include "formats/disks/filesystems/exfat/volume.hpp"
#include "formats/disks/filesystems/free_clusters.hpp"

namespace formats::filesystems::exfat {

struct ClusterRun {
  std::uint32_t first = 0;
  std::uint32_t count = 0;
};

// The clusters of a file, as its directory entry tells of them.
struct Allocation {
  std::uint32_t first = 0;
  std::optional<std::uint64_t> length;  // bytes; the root's is what its chain gives
  bool contiguous = false;              // its entries in the table mean nothing
};

// Follows allocations, and sees to it that no cluster is in two of them, so that the work is
// bounded by the size of the volume.
class Allocations {
 public:
  Allocations(DiskView& view, const Volume& volume);

  // The runs of `allocation`, in order, each given to `take`. Throws Doubt where they cannot be
  // right.
  void follow(const Allocation& allocation, const std::function<void(ClusterRun)>& take);

  // The same as a list; for what is at most `longest` bytes long.
  [[nodiscard]] std::vector<ClusterRun> runs(const Allocation& allocation, std::uint64_t longest);

 private:
  [[nodiscard]] std::uint32_t next(std::uint32_t cluster);
  void claim(ClusterRun run);

  const Volume& volume_;
  DiskView table_;
  std::vector<bool> claimed_;
};

// The bitmap at these runs, read in pieces.
[[nodiscard]] FreeClusters read_bitmap(DiskView& view, const Volume& volume,
                                       const std::vector<ClusterRun>& runs);

}  // namespace formats::filesystems::exfat
