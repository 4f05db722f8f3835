#include "io/xxh64.hpp"

#include "io/xxh32.hpp"

#include <algorithm>
#include <array>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "io/byte_range.hpp"

namespace io {

std::uint32_t xxh32(std::span<const std::byte> bytes) noexcept {
  return XXH32(bytes.data(), bytes.size(), 0);
}

std::uint64_t xxh64(std::span<const std::byte> bytes) noexcept {
  return XXH64(bytes.data(), bytes.size(), 0);
}

std::uint64_t xxh64_of_zeros(std::uint64_t count) noexcept {
  static constexpr std::array<std::byte, 64 * KiB> zeros{};
  XXH64_state_t state;
  XXH64_reset(&state, 0);
  while (count > 0) {
    const auto step = static_cast<std::size_t>(std::min<std::uint64_t>(count, zeros.size()));
    XXH64_update(&state, zeros.data(), step);
    count -= step;
  }
  return XXH64_digest(&state);
}

}  // namespace io
