// Writes an Android sparse image: runs of four bytes that repeat, zeros above all, are one chunk
// each, all else is stored. Nothing is left to what was on the disk before ("don't care"): what
// reads as zeros is written as zeros.
#pragma once

#include <memory>

#include "formats/images/streams/encoder.hpp"

namespace formats::simg {

// The only size of blocks that devices take; content is filled up with zeros to a multiple of it.
inline constexpr std::uint64_t written_block_bytes = 4 * io::KiB;

[[nodiscard]] std::unique_ptr<streams::Encoder> make_encoder();

}  // namespace formats::simg
