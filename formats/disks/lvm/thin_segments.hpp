// Thin pools and thin volumes in a volume group's metadata: which of them can be looked into.
//
//   pool { segment1 { type = "thin-pool"  metadata = "pool_tmeta"  pool = "pool_tdata" ... } }
//   root { segment1 { type = "thin"  thin_pool = "pool"  device_id = 1 ... } }
//
// A pool counts when both of its parts are linear or striped and lie here, and no change waits for
// it; a volume when its pool counts and it has no external origin and is not being merged. Names in
// these segments that are not known here mean that it does not count. Source: the names that lvm2
// writes (lib/thin/thin.c).
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "formats/disks/lvm/config.hpp"
#include "formats/disks/lvm/logical_volume.hpp"

namespace formats::filesystems::lvm {

// How many segments name a volume.
struct PartUses {
  unsigned by_thin_volumes = 0;  // as their pool, or as what they were a snapshot of
  unsigned by_others = 0;
};
using Parts = std::map<std::string, PartUses, std::less<>>;

// Whether `key` of the segment names a volume that is no less a volume for that.
[[nodiscard]] bool is_thin_link(const Section& segment, std::string_view key);

// A visible volume with one segment and nothing unusual in its status.
struct ThinCandidate {
  std::string_view name;  // without its group's
  const Section& segment;
  std::size_t index;  // in the list of volumes
};

// Sets LogicalVolume::pool of those in `volumes` that count. `hidden`: the volumes that others are
// made of, by name. Throws Doubt where two volumes are the same device of one pool.
void link_thin_volumes(const std::vector<ThinCandidate>& candidates, const Parts& parts,
                       const std::map<std::string, LogicalVolume, std::less<>>& hidden,
                       std::vector<LogicalVolume>& volumes);

}  // namespace formats::filesystems::lvm
