// Mends the refcounts and the copied flags of a qcow2 file. Guest content is never written to.
//
// What is written, in which order, keeps the file no worse than it was wherever it is cut off:
// first the copied flags that are set wrongly are cleared (a cluster without one is copied
// before it is written to, which is always right); then the refcounts; then the flags that are
// missing are set; last the header says that all is well. Each step is on the disk before the
// next one begins. Refcounts are corrected in their place, entry by entry; when the place itself
// is damaged, new ones are written behind the end of the file, and one write of 12 bytes to the
// header takes them into use.
#pragma once

#include "io/file.hpp"
#include "io/observer.hpp"

namespace formats::qcow2 {

// Where table entries are damaged, it is unknown which clusters they used: then no cluster is given
// free, so that a rescue by hand can still get at them.
enum class RepairScope : std::uint8_t {
  leaks,  // lowers refcounts that are too high
  flags,  // makes the copied flags agree with the refcounts, which must be right
  all,
};

// `file` is open for writing, and no other program uses it (see io/image_lock.hpp). Throws Error;
// ErrorKind::cancelled soon after `stop` was set, ErrorKind::unsupported before anything is written
// when new refcounts would make the file too large.
void repair(const io::File& file, RepairScope scope, const io::StopFlag& stop);

// Says in the header that the image was closed properly and is not corrupt: to be called when a
// check after the repair found nothing wrong.
void mark_clean(const io::File& file);

}  // namespace formats::qcow2
