// The log of an XFS, replayed in memory.
//
// The rules are those of the kernel's recovery (fs/xfs/xfs_log_recover.c and the *_item_recover.c
// beside it): two passes, buffers that were given up are not written, an object whose own number
// (LSN) says that it is newer than the log is left alone.
#pragma once

#include "formats/disks/filesystems/xfs/log_ring.hpp"
#include "formats/disks/filesystems/xfs/replayed_volume.hpp"
#include "formats/disks/filesystems/xfs/superblock.hpp"

namespace formats::filesystems::xfs {

// Writes to `volume` what all committed transactions from `tail` up to `end` change, and touches
// what else a recovery reads. Intents that are open need nothing: what they will free is still in
// use, and what they need is allocated. In version 4 blocks have no numbers of their own: there all
// that the log holds is written, in its order. Throws Doubt for a log that is damaged, or that has
// items of an unknown kind. Time: the log twice, at most 512 MiB of it.
void replay_log(LogRing& ring, const LogEnd& end, std::uint32_t tail, const Geometry& geometry,
                ReplayedVolume& volume);

}  // namespace formats::filesystems::xfs
