// Encodes one cluster.
#pragma once

#include <cstddef>
#include <span>

#include "formats/images/qcow2/header.hpp"

namespace formats::qcow2 {

struct Codec {
  Compression type = Compression::deflate;
  int level = 4;              // 1 to 12 of deflate, 1 to 19 of zstd
  bool small_window = false;  // deflate with qemu's window of 4 KiB, levels 1 to 9
};

[[nodiscard]] int default_level(Compression type);
[[nodiscard]] int highest_level(const Codec& codec);

// The length of the stream that is now in front of `out`, or 0 when it is longer than `out`. The
// same bytes for the same cluster, always. Any thread may call this.
[[nodiscard]] std::size_t compress(const Codec& codec, std::span<const std::byte> cluster,
                                   std::span<std::byte> out);

}  // namespace formats::qcow2
