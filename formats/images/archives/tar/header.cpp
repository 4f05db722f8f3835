#include "formats/images/archives/tar/header.hpp"

#include <algorithm>
#include <charconv>

namespace formats::tar {
namespace {

// Where the fields are in the block.
namespace at {
constexpr std::size_t size = 124;
constexpr std::size_t checksum = 148;
constexpr std::size_t type = 156;
constexpr std::size_t magic = 257;
constexpr std::size_t prefix = 345;
constexpr std::size_t segments = 386;
constexpr std::size_t segments_go_on = 482;
constexpr std::size_t real_size = 483;
}  // namespace at

constexpr std::size_t name_bytes = 100;
constexpr std::size_t prefix_bytes = 155;
constexpr std::size_t number_bytes = 12;
constexpr std::size_t checksum_bytes = 8;
constexpr std::size_t segments_in_header = 4;
constexpr std::size_t segments_in_block = 21;
constexpr std::size_t block_goes_on = 504;

constexpr std::string_view magic = "ustar";

std::string_view text_at(std::span<const std::byte> block, std::size_t offset, std::size_t length) {
  const std::string_view field(reinterpret_cast<const char*>(block.data()) + offset, length);
  return field.substr(0, field.find('\0'));
}

// Octal digits, with spaces around them; or, where they are too few, a binary number.
std::optional<std::uint64_t> number_at(std::span<const std::byte> block, std::size_t offset,
                                       std::size_t length) {
  if ((block[offset] & std::byte{0x80}) != std::byte{0}) {
    std::uint64_t value = std::to_integer<std::uint64_t>(block[offset] & std::byte{0x7f});
    for (std::size_t i = 1; i < length; ++i) {
      if (value > largest_member >> 8) return std::nullopt;
      value = value << 8 | std::to_integer<std::uint64_t>(block[offset + i]);
    }
    return value <= largest_member ? std::optional(value) : std::nullopt;
  }
  std::string_view text = text_at(block, offset, length);
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  text = text.substr(0, text.find_last_not_of(' ') + 1);
  if (text.empty()) return 0;
  std::uint64_t value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value, 8);
  if (result.ec != std::errc() || result.ptr != text.data() + text.size()) return std::nullopt;
  return value <= largest_member ? std::optional(value) : std::nullopt;
}

// The sum of all bytes, those of the checksum taken for spaces. Some programs took chars for
// signed.
bool checksum_is_right(std::span<const std::byte> block) {
  std::int64_t plain = 0;
  std::int64_t with_sign = 0;
  for (std::size_t i = 0; i < block_bytes; ++i) {
    const bool own = i >= at::checksum && i < at::checksum + checksum_bytes;
    const auto byte =
        own ? static_cast<unsigned char>(' ') : std::to_integer<unsigned char>(block[i]);
    plain += byte;
    with_sign += static_cast<signed char>(byte);
  }
  const auto stated = number_at(block, at::checksum, checksum_bytes);
  return stated && (static_cast<std::int64_t>(*stated) == plain ||
                    static_cast<std::int64_t>(*stated) == with_sign);
}

// Pairs of an offset and a length, up to the first that is empty.
bool add_segments(std::span<const std::byte> block, std::size_t begin, std::size_t count,
                  std::vector<io::ByteRange>& segments) {
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t place = begin + i * 2 * number_bytes;
    if (block[place] == std::byte{0}) return true;
    const auto offset = number_at(block, place, number_bytes);
    const auto length = number_at(block, place + number_bytes, number_bytes);
    if (!offset || !length || segments.size() == most_segments) return false;
    segments.push_back({*offset, *length});
  }
  return true;
}

}  // namespace

bool has_magic(std::span<const std::byte> start) {
  return start.size() >= block_bytes && text_at(start, at::magic, magic.size()) == magic;
}

std::optional<Header> parse_header(std::span<const std::byte> block) {
  if (!checksum_is_right(block)) return std::nullopt;
  Header header;
  header.type = static_cast<char>(block[at::type]);
  const auto size = number_at(block, at::size, number_bytes);
  if (!size) return std::nullopt;
  header.size = *size;
  header.name = text_at(block, 0, name_bytes);
  const bool posix = text_at(block, at::magic, magic.size() + 1) == magic &&
                     block[at::magic + magic.size()] == std::byte{0};
  if (posix && header.type != 'S' && block[at::prefix] != std::byte{0}) {
    header.name = std::string(text_at(block, at::prefix, prefix_bytes)) + "/" + header.name;
  }
  if (header.type != 'S') return header;
  const auto real_size = number_at(block, at::real_size, number_bytes);
  if (!real_size || !add_segments(block, at::segments, segments_in_header, header.segments)) {
    return std::nullopt;
  }
  header.real_size = *real_size;
  header.segments_go_on = block[at::segments_go_on] != std::byte{0};
  return header;
}

bool parse_more_segments(std::span<const std::byte> block, std::vector<io::ByteRange>& segments,
                         bool& goes_on) {
  goes_on = block[block_goes_on] != std::byte{0};
  return add_segments(block, 0, segments_in_block, segments);
}

std::optional<std::uint64_t> parse_decimal(std::string_view text) {
  std::uint64_t value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || result.ec != std::errc() || result.ptr != text.data() + text.size()) {
    return std::nullopt;
  }
  return value <= largest_member ? std::optional(value) : std::nullopt;
}

namespace {

class PaxParser {
 public:
  explicit PaxParser(PaxRecords& records) : records_(records) {}

  // "LENGTH KEY=VALUE\n", one after another.
  bool parse(std::string_view text) {
    while (!text.empty()) {
      const std::size_t space = text.find(' ');
      const auto length = parse_decimal(text.substr(0, space));
      if (space == std::string_view::npos || !length || *length > text.size() ||
          *length < space + 2 || text[*length - 1] != '\n') {
        return false;
      }
      const std::string_view record = text.substr(space + 1, *length - space - 2);
      const std::size_t equals = record.find('=');
      if (equals == std::string_view::npos ||
          !take(record.substr(0, equals), record.substr(equals + 1))) {
        return false;
      }
      text.remove_prefix(*length);
    }
    return !offset_;
  }

 private:
  bool take(std::string_view key, std::string_view value) {
    if (key == "path") {
      records_.name = value;
    } else if (key == "size") {
      records_.size = parse_decimal(value);
      return records_.size.has_value();
    } else if (key.starts_with("GNU.sparse.")) {
      records_.sparse = true;
      return take_sparse(key.substr(std::string_view("GNU.sparse.").size()), value);
    }
    return true;
  }

  bool take_sparse(std::string_view key, std::string_view value) {
    if (key == "name") {
      records_.sparse_name = value;
    } else if (key == "realsize" || key == "size") {
      records_.real_size = parse_decimal(value);
      return records_.real_size.has_value();
    } else if (key == "major") {
      records_.map_in_data = value == "1";
      return value == "0" || value == "1";
    } else if (key == "minor") {
      return value == "0" || value == "1";
    } else if (key == "map") {
      return take_map(value);
    } else if (key == "offset" || key == "numbytes") {
      return take_half(key == "offset", parse_decimal(value));
    }
    return true;
  }

  // "OFFSET,LENGTH,OFFSET,LENGTH"
  bool take_map(std::string_view text) {
    bool is_offset = true;
    while (!text.empty()) {
      const std::size_t comma = std::min(text.find(','), text.size());
      if (!take_half(is_offset, parse_decimal(text.substr(0, comma)))) return false;
      text.remove_prefix(std::min(comma + 1, text.size()));
      is_offset = !is_offset;
    }
    return is_offset;
  }

  bool take_half(bool is_offset, std::optional<std::uint64_t> number) {
    if (!number || is_offset == offset_.has_value()) return false;
    if (is_offset) {
      offset_ = number;
      return records_.segments.size() < most_segments;
    }
    records_.segments.push_back({*offset_, *number});
    offset_.reset();
    return true;
  }

  PaxRecords& records_;
  std::optional<std::uint64_t> offset_;  // of the segment whose length comes next
};

}  // namespace

bool parse_pax(std::string_view text, PaxRecords& records) {
  return PaxParser(records).parse(text);
}

}  // namespace formats::tar
