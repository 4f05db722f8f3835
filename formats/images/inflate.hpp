// Decodes one block that is a stream of its own: raw deflate, as qcow and qcow2 store them, or
// zlib, as VMDK does.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

namespace formats {

// Fills `block` from `stream`, behind whose end there may be other bytes. False: the stream is
// broken, or is not the stream of a block of this size. Never writes outside of `block`. Any
// thread may call this.
[[nodiscard]] bool inflate_block(std::span<const std::byte> stream, std::span<std::byte> block);

// The same of a zlib stream whose content may be shorter than `block`: how long it is. Nothing: it
// is broken, has a wrong checksum, or does not fit.
[[nodiscard]] std::optional<std::size_t> inflate_zlib(std::span<const std::byte> stream,
                                                      std::span<std::byte> block);

}  // namespace formats
