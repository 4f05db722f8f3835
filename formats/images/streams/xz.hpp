// xz, by liblzma, which is included here and in the encoder alone.
#pragma once

#include "formats/images/streams/codec.hpp"
#include "io/file.hpp"

namespace formats::streams {

// Takes a whole file as one member: streams that follow one another and the padding between them
// are liblzma's. Blocks that say how long they are (xz -T writes such) are decoded on all cores, in
// at most 192 MiB; what needs more is decoded by one, and refused where that needs 1 GiB.
std::unique_ptr<Codec> make_xz_codec();

// Bytes of content, by the indexes of a file that can seek. Nothing where they make no sense; the
// decoder will say what is wrong, and where they take more than 64 MiB of memory or a second.
[[nodiscard]] std::optional<std::uint64_t> xz_content_size(const io::File& file);

}  // namespace formats::streams
