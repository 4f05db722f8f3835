// Where two pieces of content differ.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "io/byte_range.hpp"

namespace io {

// Ranges that begin and end with a differing byte; those less than 512 bytes apart are one.
// `a` and `b` are equally long and lie at `offset`.
std::vector<ByteRange> differences(std::span<const std::byte> a, std::span<const std::byte> b,
                                   std::uint64_t offset);

// Adds `more`, which lies behind all of `ranges`, joining it to the last one where it is less
// than 512 bytes away.
void append_difference(std::vector<ByteRange>& ranges, ByteRange more);

}  // namespace io
