#include "formats/images/vmdk/cowd.hpp"

#include <array>
#include <bit>

#include <fmt/format.h>

#include "formats/bytes/little_endian.hpp"
#include "io/error.hpp"

namespace formats::vmdk {
namespace {

constexpr std::uint64_t cowd_header_bytes = 2048;
constexpr std::uint32_t cowd_table_entries = 4096;
constexpr std::uint64_t largest_cowd_grain = 1 << 17;

namespace in_cowd {
constexpr std::size_t version = 4;
constexpr std::size_t capacity = 12;
constexpr std::size_t grain = 16;
constexpr std::size_t directory = 20;
constexpr std::size_t directory_entries = 24;
}  // namespace in_cowd

}  // namespace

Header parse_cowd_header(const io::File& file) {
  std::array<std::byte, cowd_header_bytes> bytes{};
  const auto fail = [&](std::size_t place, const std::string& text) {
    throw io::Error::format(file.path(), place, text);
  };
  if (file.read_at(0, bytes) < bytes.size()) fail(file.size(), "the file ends inside the header");
  const auto u32 = [&](std::size_t place) {
    return load_little_endian<std::uint32_t>(bytes, place);
  };
  if (u32(in_cowd::version) != 1) {
    fail(in_cowd::version,
         fmt::format("there is no COWD image of version {}", u32(in_cowd::version)));
  }
  Header header;
  header.bytes = cowd_header_bytes;
  header.version = u32(in_cowd::version);
  header.capacity = u32(in_cowd::capacity);
  header.grain = u32(in_cowd::grain);
  header.entries = cowd_table_entries;
  header.directory = u32(in_cowd::directory);
  if (!std::has_single_bit(header.grain) || header.grain > largest_cowd_grain) {
    fail(in_cowd::grain, fmt::format("grains of {} sectors are impossible", header.grain));
  }
  if (u32(in_cowd::directory_entries) < header.tables()) {
    fail(in_cowd::directory_entries,
         fmt::format("a directory of {} tables is too short for {} sectors",
                     u32(in_cowd::directory_entries), header.capacity));
  }
  return header;
}

}  // namespace formats::vmdk
