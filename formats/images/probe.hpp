// Which format a file has, by its content.
#pragma once

#include <cstddef>
#include <span>

#include "formats/images/format.hpp"
#include "io/file.hpp"

namespace formats {

// What is not recognised is raw: any bytes are a raw image. A guest can write a header into its
// raw disk, so do not trust the answer further than the file itself: what the header names is
// opened only by the rules of formats/images/reference.hpp.
//
// A disk is looked at for qcow2 alone: who writes another file to a disk means its bytes. A fixed
// VHD and a DMG are known by their end, which only a file shows.
Format probe(const io::File& file);

// The same of something that was begun to be read: `start` has probe_bytes, unless it is shorter.
inline constexpr std::size_t probe_bytes = 512;
Format probe(std::span<const std::byte> start);

}  // namespace formats
