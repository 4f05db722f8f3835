// XXH32 with seed 0, as lz4's frames use it. Any thread; nothing fails.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace io {

[[nodiscard]] std::uint32_t xxh32(std::span<const std::byte> bytes) noexcept;

}  // namespace io
