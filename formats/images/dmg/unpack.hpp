// Decodes one chunk of an Apple disk image.
#pragma once

#include <cstddef>
#include <span>

#include "formats/images/dmg/layout.hpp"

namespace formats::dmg {

// Fills `chunk` from `stream`, which is packed as `kind` (zlib, bzip2 or xz) says. False: it is
// damaged, or not the stream of a chunk of this size. Any thread may call this; xz takes at most
// 96 MiB of memory.
[[nodiscard]] bool unpack(ChunkKind kind, std::span<const std::byte> stream,
                          std::span<std::byte> chunk);

}  // namespace formats::dmg
