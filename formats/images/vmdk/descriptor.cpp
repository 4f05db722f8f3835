#include "formats/images/vmdk/descriptor.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <limits>

#include <fmt/format.h>

#include "formats/bytes/big_endian.hpp"

namespace formats::vmdk {
namespace {

constexpr std::string_view blanks = " \t\r";

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(blanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(blanks) + 1 - begin);
}

std::string in_small_letters(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

std::string_view without_quotes(std::string_view text) {
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') {
    return text.substr(1, text.size() - 2);
  }
  return text;
}

std::string_view next_word(std::string_view& rest) {
  rest = trimmed(rest);
  const std::string_view word = rest.substr(0, rest.find_first_of(blanks));
  rest.remove_prefix(word.size());
  return word;
}

template <class Number>
Number number_of(std::string_view text, int base, Number otherwise) {
  Number value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  return error == std::errc{} && end == text.data() + text.size() ? value : otherwise;
}

// The text between the first two quotation marks; empty where there are none.
std::string quoted(std::string_view& rest) {
  const std::size_t begin = rest.find('"');
  const std::size_t end = begin == std::string_view::npos ? begin : rest.find('"', begin + 1);
  if (end == std::string_view::npos) return {};
  std::string text(rest.substr(begin + 1, end - begin - 1));
  rest.remove_prefix(end + 1);
  return text;
}

// "RW 8323072 SPARSE "disk.vmdk"", "RW 4192256 FLAT "disk-flat.vmdk" 0"
bool add_extent(Descriptor& descriptor, std::string_view line) {
  constexpr auto access = std::to_array<std::string_view>({"rw", "rdonly", "noaccess"});
  const std::string first = in_small_letters(next_word(line));
  if (std::find(access.begin(), access.end(), first) == access.end()) return false;
  ExtentLine extent;
  extent.sectors = number_of<std::uint64_t>(next_word(line), 10, 0);
  extent.type = in_small_letters(next_word(line));
  extent.file = quoted(line);
  extent.offset = number_of<std::uint64_t>(next_word(line), 10, 0);
  constexpr auto most = std::numeric_limits<std::uint64_t>::max();
  descriptor.sectors =
      extent.sectors > most - descriptor.sectors ? most : descriptor.sectors + extent.sectors;
  if (descriptor.extents.size() <= most_extents) descriptor.extents.push_back(std::move(extent));
  return true;
}

void set_field(Descriptor& descriptor, std::string_view key, std::string_view value) {
  const std::string name = in_small_letters(key);
  if (name == "createtype") descriptor.create_type = value;
  if (name == "cid") descriptor.content_id = number_of<std::uint32_t>(value, 16, 0);
  // What cannot be read is a parent: then it is not taken for none.
  if (name == "parentcid") descriptor.parent_id = number_of<std::uint32_t>(value, 16, 0);
  if (name == "parentfilenamehint") descriptor.parent = value;
}

// What is longer than a file name may be is none.
bool can_be_quoted(std::string_view name) {
  constexpr std::size_t longest_name = 255;
  const auto breaks = [](unsigned char c) { return c < ' ' || c == '"' || c == 0x7f; };
  return !name.empty() && name.size() <= longest_name &&
         std::none_of(name.begin(), name.end(), breaks);
}

}  // namespace

Descriptor parse_descriptor(std::string_view text) {
  Descriptor descriptor;
  text = text.substr(0, text.find('\0'));
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.starts_with('#') || add_extent(descriptor, line)) continue;
    const std::size_t equals = line.find('=');
    if (equals == std::string_view::npos) continue;
    set_field(descriptor, trimmed(line.substr(0, equals)),
              without_quotes(trimmed(line.substr(equals + 1))));
  }
  return descriptor;
}

std::string stream_descriptor(std::uint64_t sectors, std::string_view file_name, const Uuid& id) {
  constexpr std::uint64_t heads = 255;
  constexpr std::uint64_t sectors_in_track = 63;
  constexpr std::uint64_t most_cylinders = 65535;
  constexpr std::uint64_t in_cylinder = heads * sectors_in_track;
  const std::uint64_t cylinders = std::min(sectors / in_cylinder + 1, most_cylinders);
  const std::span<const std::byte> bytes(id);
  // The highest number of all stands for no parent, the next one for a long ID.
  const std::uint32_t short_id = load_big_endian<std::uint32_t>(bytes, 12) % 0xfffffffe;
  return fmt::format(
      "# Disk DescriptorFile\n"
      "version=1\n"
      "encoding=\"UTF-8\"\n"
      "CID={:08x}\n"
      "parentCID={:08x}\n"
      "createType=\"streamOptimized\"\n"
      "\n"
      "# Extent description\n"
      "RDONLY {} SPARSE \"{}\"\n"
      "\n"
      "# The Disk Data Base\n"
      "#DDB\n"
      "\n"
      "ddb.adapterType = \"lsilogic\"\n"
      "ddb.geometry.cylinders = \"{}\"\n"
      "ddb.geometry.heads = \"{}\"\n"
      "ddb.geometry.sectors = \"{}\"\n"
      "ddb.longContentID = \"{:016x}{:08x}{:08x}\"\n"
      "ddb.toolsInstallType = \"4\"\n"
      "ddb.toolsVersion = \"2147483647\"\n"
      "ddb.virtualHWVersion = \"4\"\n",
      short_id, no_parent, sectors, can_be_quoted(file_name) ? file_name : "disk.vmdk", cylinders,
      heads, sectors_in_track, load_big_endian<std::uint64_t>(bytes, 0),
      load_big_endian<std::uint32_t>(bytes, 8), short_id);
}

}  // namespace formats::vmdk
