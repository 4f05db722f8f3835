// lz4 frames (lz4.github.io: lz4_Frame_format.md), by liblz4: the one place that includes its frame
// decoder.
#pragma once

#include "formats/images/streams/codec.hpp"

namespace formats::streams {

// Checks what checksums the frame has. Takes less than 9 MiB.
std::unique_ptr<Codec> make_lz4_codec();

}  // namespace formats::streams
