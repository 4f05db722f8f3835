// Creates, applies and deletes internal snapshots of a qcow2 image, in place.
//
// Killed at any moment, the image is as it was or as it is to be (see refcount_editor.hpp). Unlike
// qemu-img's, the L2 tables of a snapshot stay as they were, and the disk goes on with copies of
// those that bear the mark "used once"; the marks in a snapshot's own tables mean nothing.
//
// `file` is open for reading and writing, and no other program uses it (see io/image_lock.hpp).
// Throws Error: refused for an image that is damaged (and says what mends it), unsupported where
// the format or qemu does not allow it; neither has changed anything. `stop` is looked at between
// tables, until the change is taken into use. Blocking.
#pragma once

#include <cstdint>
#include <string>

#include "formats/images/qcow2/snapshots.hpp"
#include "io/file.hpp"
#include "io/observer.hpp"

namespace formats::qcow2 {

// Of the disk as it is now. The id is the number behind the largest one there is, as qemu counts.
// Refused when a snapshot has that name or, as its id, that text already.
Snapshot create_snapshot(const io::File& file, const std::string& name, std::uint32_t date_sec,
                         std::uint32_t date_nsec, const io::StopFlag& stop);

// The disk becomes that of the snapshot with this id, else with this name; what it was is lost. Its
// size changes with it. The state of the machine that the snapshot may hold stays in there.
Snapshot apply_snapshot(const io::File& file, const std::string& wanted, const io::StopFlag& stop);

// What only this snapshot uses is free then; release_free_clusters() gives it back.
Snapshot delete_snapshot(const io::File& file, const std::string& wanted, const io::StopFlag& stop);

// The disk has nothing of its own any more: all of it is the backing file's content, or zeros.
// Snapshots stay.
void empty_disk(const io::File& file, const io::StopFlag& stop);

}  // namespace formats::qcow2
