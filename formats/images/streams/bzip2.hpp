// bzip2, by libbz2: the one place that includes it.
#pragma once

#include "formats/images/streams/codec.hpp"

namespace formats::streams {

// Checks the CRC of every block and of every stream. Takes less than 4 MiB; a block of at most
// 900,000 bytes is decoded in one step.
std::unique_ptr<Codec> make_bzip2_codec();

}  // namespace formats::streams
