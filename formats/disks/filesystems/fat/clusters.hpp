// Which clusters the tables call free, and whether the rest of the file system agrees: nothing
// that is in use may lead to a free cluster. Throws Doubt where it does.
#pragma once

#include <cstdint>
#include <vector>

#include "formats/disks/disk_view.hpp"
#include "formats/disks/filesystems/fat/boot_sector.hpp"
#include "formats/disks/filesystems/free_clusters.hpp"

namespace formats::filesystems::fat {

// Two bits for each cluster, from cluster 0 on.
struct ClusterMarks {
  std::vector<bool> free;
  std::vector<bool> claimed;  // by the cluster before it, or by the directory entry of its file
};

struct TableScan {
  FreeClusters free;
  ClusterMarks marks;
};

// Reads all tables, once.
[[nodiscard]] TableScan scan_tables(DiskView& volume, const BootSector& boot);

// Reads all directories. Returns the volume's label, trimmed.
[[nodiscard]] std::string walk_directories(DiskView& volume, const BootSector& boot,
                                           ClusterMarks& marks);

}  // namespace formats::filesystems::fat
