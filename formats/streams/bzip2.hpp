// bzip2, by libbz2: the one place that includes it.
#pragma once

#include "formats/streams/codec.hpp"

namespace formats::streams {

// Checks the CRC of every block and of every stream.
std::unique_ptr<Codec> make_bzip2_codec();

}  // namespace formats::streams
