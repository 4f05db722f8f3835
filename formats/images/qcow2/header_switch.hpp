// Replaces the header of an image that exists, by one write of one sector.
//
// What names the tables (size, L1 table, refcount table, snapshots), the extensions that change
// (format of the backing file, bitmaps) and the place of the backing file's name are all in the
// first 512 bytes, which a disk writes whole or not at all. A name that does not fit in there is
// written behind all that is in use, and flushed, before that sector names its place.
//
// The names of features that the image does not use are left out when the extensions are laid
// anew: with them the sector would be full. QEMU puts them back when it writes the header.
#pragma once

#include "formats/images/qcow2/header.hpp"
#include "io/file.hpp"

namespace formats::qcow2 {

// What cannot be laid down in that way throws ErrorKind::unsupported, before anything is written.
// Written are of `next`: version (3 in the place of 2, too), sizes and places of all tables,
// lazy_refcounts, bitmaps and bitmaps_consistent, backing file and its format. Autoclear features
// that are not known here are cleared, as from any program that changes an image. Flushes before
// and after. `file` is open for writing. Throws Error.
void write_header(const io::File& file, const Header& next);

}  // namespace formats::qcow2
