// Decodes one compressed cluster.
#pragma once

#include <cstddef>
#include <span>

#include "formats/images/qcow2/header.hpp"

namespace formats::qcow2 {

// Fills `cluster` from `stream`, behind whose end there may be up to a sector of other bytes.
// False: the stream is broken, or is not the stream of a cluster of this size. Never writes
// outside of `cluster`. Any thread may call this.
[[nodiscard]] bool decompress(Compression compression, std::span<const std::byte> stream,
                              std::span<std::byte> cluster);

}  // namespace formats::qcow2
