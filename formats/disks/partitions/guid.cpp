#include "formats/disks/partitions/guid.hpp"

#include <algorithm>
#include <cassert>
#include <string_view>

namespace formats::partitions {

Guid load_guid(std::span<const std::byte> bytes, std::size_t offset) {
  assert(offset <= bytes.size() && bytes.size() - offset >= 16);
  Guid guid;
  std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(offset), 16, guid.bytes.begin());
  return guid;
}

std::string to_string(const Guid& guid) {
  constexpr std::array<std::size_t, 16> order = {3, 2, 1,  0,  5,  4,  7,  6,
                                                 8, 9, 10, 11, 12, 13, 14, 15};
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    const auto value = std::to_integer<unsigned>(guid.bytes[order[i]]);
    text += digits[value >> 4];
    text += digits[value & 15];
  }
  return text;
}

}  // namespace formats::partitions
