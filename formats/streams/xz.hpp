// xz, by liblzma: the one place that includes it.
#pragma once

#include "formats/streams/codec.hpp"
#include "io/file.hpp"

namespace formats::streams {

// Takes a whole file as one member: streams that follow one another and the padding between them
// are liblzma's. Blocks that say how long they are (xz -T writes such) are decoded on all cores.
std::unique_ptr<Codec> make_xz_codec();

// Bytes of content, by the indexes of a file that can seek. Nothing where they make no sense; the
// decoder will say what is wrong.
[[nodiscard]] std::optional<std::uint64_t> xz_content_size(const io::File& file);

}  // namespace formats::streams
