#include "formats/disks/filesystems/uuid_text.hpp"

#include <algorithm>
#include <cassert>

#include <fmt/format.h>

namespace formats::filesystems {

std::string uuid_text(std::span<const std::byte> bytes) {
  assert(bytes.size() == 16);
  if (std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; })) {
    return "";
  }
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += fmt::format("{:02x}", std::to_integer<unsigned>(bytes[i]));
  }
  return text;
}

std::string text_up_to_zero(std::span<const std::byte> bytes) {
  const auto end = std::find(bytes.begin(), bytes.end(), std::byte{0});
  std::string text;
  std::transform(bytes.begin(), end, std::back_inserter(text),
                 [](std::byte b) { return static_cast<char>(b); });
  return text;
}

}  // namespace formats::filesystems
