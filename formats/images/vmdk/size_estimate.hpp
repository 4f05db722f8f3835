// How long a stream-optimized VMDK image will be.
#pragma once

#include <cstdint>

#include "formats/images/vmdk/target.hpp"

namespace formats::vmdk {

// Of one grain, whose deflate stream has so many bytes.
[[nodiscard]] std::uint64_t grain_bytes_in_file(std::uint64_t stream_bytes);

// Of the image of a disk of `size` bytes, whose grains take `content` bytes of the file and are
// described by `tables` tables.
[[nodiscard]] std::uint64_t stream_bytes(std::uint64_t size, std::uint64_t content,
                                         std::uint64_t tables);

}  // namespace formats::vmdk
