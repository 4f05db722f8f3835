// LZO1X, as btrfs compresses files.
//
// Source: Documentation/staging/lzo.rst of Linux, and the comment at the begin of fs/btrfs/lzo.c
// on how segments follow each other.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

namespace formats {

// Decodes one LZO1X stream. Gives how much came out of it; nothing: it is damaged, or is longer
// than `out`.
[[nodiscard]] std::optional<std::size_t> decode_lzo1x(std::span<const std::byte> stream,
                                                      std::span<std::byte> out);

// The same of an extent of btrfs: its length, then segments of 4 KiB each, none of whose headers
// lies across the end of a sector of 4 KiB.
[[nodiscard]] std::optional<std::size_t> decode_btrfs_lzo(std::span<const std::byte> stream,
                                                          std::span<std::byte> out);

}  // namespace formats
