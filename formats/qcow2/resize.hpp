// Changes the size of a qcow2 image's disk, in place.
//
// Killed at any moment, the image stays whole and of the old or the new size; at worst clusters
// leak, which `check --repair leaks` of qemu-img mends. Blocking; the file is open for reading and
// writing, and nobody else writes to it.
#pragma once

#include <cstdint>

#include "formats/qcow2/header.hpp"
#include "io/file.hpp"

namespace formats::qcow2 {

// To whole sectors, not less than it has; what is new reads as zeros. Throws Error; unsupported
// and refused ones have changed nothing.
void grow(const io::File& file, std::uint64_t new_size);

// What lies behind `new_size` is lost, and its space is given back.
void shrink(const io::File& file, std::uint64_t new_size);

}  // namespace formats::qcow2
