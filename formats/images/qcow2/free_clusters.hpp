// Gives the room of clusters that an image does not use back to the file system.
//
// A cluster that is freed (by a repair of leaks, by a shrink) is free by its refcount alone: the
// file still has its room, and what the guest wrote there can still be read from it.
#pragma once

#include "io/file.hpp"
#include "io/observer.hpp"

namespace formats::qcow2 {

// Punches holes where no cluster is counted, and cuts the file behind the last one that is. The
// refcounts are right: a check found neither corruptions nor errors, and what it lowered is on the
// disk. `file` is open for writing, and no other program uses it. Does nothing on a block device,
// where what lies behind the image may be of use, and where holes cannot be made. Killed at any
// moment, the image is as it was. Throws io::Error; cancelled soon after `stop` was set.
void release_free_clusters(const io::File& file, const io::StopFlag& stop);

// The same after tables were written anew, which lie behind all else then: moves refcounts, L1
// table and the list of snapshots forward first, so that the file can become shorter.
void release_room_behind(const io::File& file, const io::StopFlag& stop);

}  // namespace formats::qcow2
