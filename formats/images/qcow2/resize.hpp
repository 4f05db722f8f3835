// Changes the size of a qcow2 image's disk, in place.
//
// Killed at any moment, the image stays whole and of the old or the new size; at worst clusters
// leak, which `check --repair leaks` mends; what a shrink that was killed left behind
// the end is dropped by the next one that grows. Blocking; the file is open for reading and
// writing, and no other program writes to it (see io/image_lock.hpp).
#pragma once

#include <cstdint>

#include "formats/images/qcow2/header.hpp"
#include "io/file.hpp"
#include "io/observer.hpp"

namespace formats::qcow2 {

// To whole sectors, not less than it has; what is new reads as zeros. Throws Error; unsupported
// and refused ones have changed nothing, nor has one that was cancelled: `stop` is looked at before
// anything is written.
void grow(const io::File& file, std::uint64_t new_size, const io::StopFlag& stop);

// What lies behind `new_size` is lost, and its space is given back.
void shrink(const io::File& file, std::uint64_t new_size, const io::StopFlag& stop);

}  // namespace formats::qcow2
