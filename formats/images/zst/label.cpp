#include "formats/images/zst/label.hpp"

#include <algorithm>
#include <array>

#include "formats/bytes/little_endian.hpp"
#include "formats/images/zst/frame.hpp"

namespace formats::zst {
namespace {

constexpr std::uint32_t label_magic = skippable_magic + 0x9;
constexpr std::size_t name_at = skippable_header_bytes;
constexpr std::array<char, 8> label_name = {'i', 'm', 'g', 't', 'o', 'o', 'l', 0};
constexpr std::size_t size_at = name_at + label_name.size();
static_assert(size_at + 8 == label_bytes);

}  // namespace

std::vector<std::byte> make_label(std::uint64_t content_size) {
  std::vector<std::byte> label(label_bytes);
  store_little_endian(label, 0, label_magic);
  store_little_endian(label, 4, static_cast<std::uint32_t>(label_bytes - skippable_header_bytes));
  std::transform(label_name.begin(), label_name.end(), label.begin() + name_at,
                 [](char letter) { return static_cast<std::byte>(letter); });
  store_little_endian(label, size_at, content_size);
  return label;
}

std::optional<std::uint64_t> parse_label(std::span<const std::byte> start) {
  if (start.size() < label_bytes) return std::nullopt;
  const auto size = load_little_endian<std::uint64_t>(start, size_at);
  const auto label = make_label(size);
  if (!std::equal(label.begin(), label.end(), start.begin())) return std::nullopt;
  return size;
}

std::optional<std::uint64_t> read_label(const io::File& file) {
  std::array<std::byte, label_bytes> start{};
  return parse_label(std::span(start).first(file.read_at(0, start)));
}

}  // namespace formats::zst
