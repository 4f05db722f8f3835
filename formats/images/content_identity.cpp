#include "formats/images/content_identity.hpp"

#include <algorithm>

#include "formats/bytes/big_endian.hpp"
#include "io/digest.hpp"

namespace formats {
namespace {

template <std::size_t count>
std::uint64_t mixed(const std::array<std::uint64_t, count>& words) {
  std::array<std::byte, count * sizeof(std::uint64_t)> bytes{};
  for (std::size_t i = 0; i < count; ++i) {
    store_big_endian(std::span<std::byte>(bytes), i * sizeof(std::uint64_t), words[i]);
  }
  return io::xxh3(bytes);
}

}  // namespace

// Sums do not depend on the order.
void ContentIdentity::add(std::uint64_t index, std::uint64_t digest) {
  sum_ += mixed(std::array{index, digest});
  other_sum_ += mixed(std::array{digest, index});
}

Uuid ContentIdentity::uuid(std::uint64_t size, std::uint32_t number) const {
  Uuid uuid{};
  const std::span<std::byte> bytes(uuid);
  store_big_endian(bytes, 0, mixed(std::array{sum_, other_sum_, size, std::uint64_t{number} * 2}));
  store_big_endian(bytes, 8,
                   mixed(std::array{sum_, other_sum_, size, std::uint64_t{number} * 2 + 1}));
  constexpr std::byte version{0x80};
  constexpr std::byte variant{0x80};
  uuid[6] = (uuid[6] & std::byte{0x0f}) | version;
  uuid[8] = (uuid[8] & std::byte{0x3f}) | variant;
  return uuid;
}

}  // namespace formats
