// gzip (RFC 1952), by zlib: the one place that includes it.
#pragma once

#include "formats/streams/codec.hpp"

namespace formats::streams {

// Checks the CRC and the length of every member.
std::unique_ptr<Codec> make_gzip_codec();

}  // namespace formats::streams
