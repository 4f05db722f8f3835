// Decodes one block that is a raw deflate stream, as qcow and qcow2 store them.
#pragma once

#include <cstddef>
#include <span>

namespace formats {

// Fills `block` from `stream`, behind whose end there may be other bytes. False: the stream is
// broken, or is not the stream of a block of this size. Never writes outside of `block`. Any
// thread may call this.
[[nodiscard]] bool inflate_block(std::span<const std::byte> stream, std::span<std::byte> block);

}  // namespace formats
