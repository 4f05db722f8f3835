// zstd, by libzstd: the one place that includes it, but for qcow2's clusters.
#pragma once

#include <vector>

#include "formats/images/streams/codec.hpp"

namespace formats::zst {

// Frame after frame; skippable ones are skipped. A frame's window may be 128 MiB at most.
std::unique_ptr<streams::Codec> make_zstd_codec();

// Decodes one frame that has exactly `out.size()` bytes of content; checks what checksum it has.
// Gives what is wrong with it, as the end of "the frame ...", or "". Any thread.
std::string decode_frame(std::span<const std::byte> frame, std::span<std::byte> out);

// One frame with the content's size and checksum, whatever thread makes it. `level` is 1 to 19.
// Any thread.
std::vector<std::byte> encode_frame(std::span<const std::byte> content, int level);

}  // namespace formats::zst
