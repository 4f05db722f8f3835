#include "formats/images/dmg/property_list.hpp"

#include <array>

namespace formats::dmg {
namespace {

constexpr std::string_view letters =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::uint8_t no_letter = 0xff;

constexpr std::array<std::uint8_t, 256> values_of_letters() {
  std::array<std::uint8_t, 256> values{};
  values.fill(no_letter);
  for (std::size_t i = 0; i < letters.size(); ++i) {
    values[static_cast<unsigned char>(letters[i])] = static_cast<std::uint8_t>(i);
  }
  return values;
}

}  // namespace

std::vector<std::byte> decode_base64(std::string_view text) {
  static constexpr auto values = values_of_letters();
  std::vector<std::byte> bytes;
  bytes.reserve(text.size() / 4 * 3);
  std::uint32_t pending = 0;
  unsigned bits = 0;
  for (const char c : text) {
    if (c == '=') break;
    const std::uint8_t value = values[static_cast<unsigned char>(c)];
    if (value == no_letter) continue;
    pending = pending << 6 | value;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    bytes.push_back(static_cast<std::byte>(pending >> bits & 0xff));
  }
  return bytes;
}

void for_each_data(
    std::string_view list,
    const std::function<void(std::uint64_t offset, std::span<const std::byte> bytes)>& take) {
  constexpr std::string_view opening = "<data>";
  constexpr std::string_view closing = "</data>";
  for (std::size_t at = 0; (at = list.find(opening, at)) != std::string_view::npos;) {
    at += opening.size();
    const std::size_t end = list.find(closing, at);
    if (end == std::string_view::npos) return;
    take(at, decode_base64(list.substr(at, end - at)));
    at = end + closing.size();
  }
}

}  // namespace formats::dmg
