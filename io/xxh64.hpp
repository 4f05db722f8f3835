// XXH64 with seed 0, as zstd's frames and seek tables use it. For digests of ours see
// io/digest.hpp. Any thread; nothing fails.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace io {

[[nodiscard]] std::uint64_t xxh64(std::span<const std::byte> bytes) noexcept;
[[nodiscard]] std::uint64_t xxh64_of_zeros(std::uint64_t count) noexcept;

}  // namespace io
