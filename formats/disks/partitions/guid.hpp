// A GUID as it lies on disk: the first three fields little-endian, the rest as written.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string>

namespace formats::partitions {

struct Guid {
  std::array<std::byte, 16> bytes{};

  [[nodiscard]] bool is_zero() const noexcept { return *this == Guid{}; }
  friend bool operator==(const Guid&, const Guid&) = default;
};

// The 16 bytes at `offset`, which must lie inside `bytes`.
[[nodiscard]] Guid load_guid(std::span<const std::byte> bytes, std::size_t offset);

// "c12a7328-f81f-11d2-ba4b-00a0c93ec93b", as lsblk and PARTUUID= have it.
[[nodiscard]] std::string to_string(const Guid& guid);

}  // namespace formats::partitions
