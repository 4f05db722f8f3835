// What the end of a disk still says of an earlier life: signatures of RAID and pool members, whose
// place is counted from the disk's end, so that an image of another size does not reach them.
// Programs that look for members (blkid, mdadm, zpool) would take the burned disk for one.
#pragma once

#include <string>
#include <vector>

#include "formats/disks/disk_view.hpp"

namespace formats {

struct StaleSignature {
  std::string what;     // "md RAID 1.0"
  io::ByteRange range;  // zeros in its place end it
};

// Those that lie whole behind `from`, ascending: md RAID (0.90 and 1.0), DDF, Intel's fake RAID,
// ZFS. Throws errors of the source.
[[nodiscard]] std::vector<StaleSignature> stale_signatures(DiskView& disk, std::uint64_t from);

}  // namespace formats
