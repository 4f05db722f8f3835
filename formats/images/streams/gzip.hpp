// gzip (RFC 1952) and raw deflate (RFC 1951), by zlib: the one place that includes it.
#pragma once

#include "formats/images/streams/codec.hpp"

namespace formats::streams {

// Checks the CRC and the length of every member. Takes less than 64 KiB, and time in proportion to
// what goes in and comes out.
std::unique_ptr<Codec> make_gzip_codec();

// One stream, without a header and without a checksum.
std::unique_ptr<Codec> make_deflate_codec();

}  // namespace formats::streams
