// Mends the snapshot table of an image: entries of version 3 that lack their own disk size, entries
// with more extra data than QEMU takes (1024 bytes), and more entries than a table may have (65536,
// and 64 MiB), of which the last are left out.
//
// Source of the rules: docs/interop/qcow2.txt of QEMU, "Snapshot table": version 3 has at least 16
// bytes of extra data; its limits are those of block/qcow2.h. What stands in for what is missing is
// what qemu-img check -r all writes: the size of the image's disk, and the VM state's size from the
// entry's old field.
#pragma once

#include "io/file.hpp"

namespace formats::qcow2 {

// A check found nothing else that is corrupt. `file` is open for writing, and no other program uses
// it. Killed at any moment, the image has the old table or the new one. Throws io::Error.
void mend_snapshots(const io::File& file);

}  // namespace formats::qcow2
