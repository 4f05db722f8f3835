// lzma's old format (.lzma), which has no magic number, and lzma as zip members have it; by
// liblzma.
//
// Source: doc/lzma-file-format.txt of XZ Utils; PKWARE APPNOTE 5.8.8.
#pragma once

#include <cstdint>

#include "formats/images/streams/codec.hpp"

namespace formats::streams {

// One stream; has no checksum, but it ends where its header says. Takes at most 192 MiB, or the
// stream is refused.
std::unique_ptr<Codec> make_lzma_codec();

// The content of a zip member of `size` bytes.
std::unique_ptr<Codec> make_zip_lzma_codec(std::uint64_t size);

}  // namespace formats::streams
