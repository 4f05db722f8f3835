// Whether what an earlier run of a capture read is what the disk still has: another disk may have
// the name now, as cards in one reader do.
#pragma once

#include <string>

#include "io/file.hpp"
#include "io/journal.hpp"
#include "io/observer.hpp"
#include "io/range_map.hpp"
#include "io/ring.hpp"
#include "io/source.hpp"

namespace imgtool {

// Reads some of what `states` calls done, at most 4 MiB, from both: `disk`, as the copy sees it,
// and `kept`, the image so far. A few places may differ, since a disk may be in use; when more than
// a quarter of those that hold data do, it throws io::Error(refused). Places that cannot be read
// are not counted.
void refuse_other_disk(io::Ring& ring, io::Source& disk, const io::File& kept,
                       const io::RangeMap<io::BlockState>& states, const io::StopFlag& stop);

}  // namespace imgtool
