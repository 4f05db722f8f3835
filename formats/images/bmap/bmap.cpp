#include "formats/images/bmap/bmap.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <filesystem>
#include <iterator>
#include <string_view>

#include <fcntl.h>
#include <fmt/format.h>
#include <pugixml.hpp>

#include "formats/bytes/checksum.hpp"
#include "io/error.hpp"
#include "io/file.hpp"

namespace formats::bmap {
namespace {

constexpr std::uint64_t most_text_bytes = 64 * io::MiB;
// "<Range>5</Range>" is the densest text that a map needs: two structures of 64 bytes in 16.
constexpr std::uint64_t most_tree_per_byte = 8;
constexpr std::uint64_t small_tree = 64 * io::KiB;
constexpr std::uint64_t largest_block = 1 * io::GiB;
constexpr std::uint64_t largest_image = std::uint64_t{1} << 62;

std::string_view trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

// How much memory pugixml's tree of `text` takes at most, but for its fixed part: a structure for
// each element, attribute, and text that is not blank.
std::uint64_t tree_bytes(std::string_view text) {
  constexpr std::uint64_t of_a_node = 8 * sizeof(void*);
  constexpr std::uint64_t of_an_attribute = 5 * sizeof(void*);
  std::uint64_t bytes = 0;
  bool blank = true;  // since the last '>'
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char letter = text[at];
    if (letter == '<') {
      const char next = at + 1 < text.size() ? text[at + 1] : '/';
      bytes += (blank ? 0 : of_a_node) + (next == '/' ? 0 : of_a_node);
    } else if (letter == '=') {
      bytes += of_an_attribute;
    }
    blank = letter == '>' || (blank && std::isspace(static_cast<unsigned char>(letter)) != 0);
  }
  return bytes;
}

class Parser {
 public:
  Parser(const std::string& name, std::span<const std::byte> text)
      : name_(name), text_(reinterpret_cast<const char*>(text.data()), text.size()) {}

  Bmap parse() {
    load();
    read_version();
    Bmap map;
    map.image_size = number("ImageSize");
    map.block_size = number("BlockSize");
    if (map.image_size > largest_image) fail(0, "ImageSize is impossible");
    if (map.block_size == 0 || map.block_size > largest_block) fail(0, "BlockSize is impossible");
    blocks_ = map.image_size / map.block_size + (map.image_size % map.block_size != 0 ? 1 : 0);
    if (number("BlocksCount") != blocks_) {
      fail(0, fmt::format("BlocksCount is not {}, which ImageSize and BlockSize make", blocks_));
    }
    map.algorithm = algorithm();
    check_own_checksum(map.algorithm);
    read_ranges(map);
    return map;
  }

 private:
  [[noreturn]] void fail(std::uint64_t offset, const std::string& text) const {
    throw io::Error::format(name_, offset, text);
  }

  void load() {
    if (text_.starts_with("-----BEGIN PGP")) {
      throw io::Error(io::ErrorKind::unsupported, name_,
                      "is signed; check and unwrap it first: gpg --decrypt");
    }
    if (tree_bytes(text_) > most_tree_per_byte * text_.size() + small_tree) {
      fail(0, "has far more elements than a block map of its length can have");
    }
    parsed_.assign(text_);
    const auto result = document_.load_buffer_inplace(parsed_.data(), parsed_.size(),
                                                      pugi::parse_default, pugi::encoding_utf8);
    if (!result) {
      fail(static_cast<std::uint64_t>(result.offset),
           fmt::format("is no XML: {}", result.description()));
    }
    root_ = document_.child("bmap");
    if (!root_) fail(0, "is no block map: it has no element <bmap>");
  }

  void read_version() {
    const std::string_view version = trimmed(root_.attribute("version").value());
    const char* end = version.data() + version.size();
    const auto [dot, fault] = std::from_chars(version.data(), end, major_);
    if (fault != std::errc() || dot == end || *dot != '.' ||
        std::from_chars(dot + 1, end, minor_).ptr != end) {
      fail(0, "has no version that makes sense");
    }
    if (major_ < 1 || major_ > 2) {
      throw io::Error(io::ErrorKind::unsupported, name_,
                      fmt::format("has version {}.{}; imgtool knows 1 and 2", major_, minor_));
    }
  }

  // 1.2 and 1.3 knew only SHA-1; 1.4 is 2.0 under a wrong number.
  [[nodiscard]] bool is_old() const { return major_ == 1 && minor_ < 4; }

  [[nodiscard]] pugi::xml_node element(const char* tag) const {
    const pugi::xml_node found = root_.child(tag);
    if (!found) fail(0, fmt::format("has no {}", tag));
    return found;
  }

  [[nodiscard]] static std::uint64_t place(const pugi::xml_node& node) {
    return static_cast<std::uint64_t>(std::max<std::ptrdiff_t>(node.offset_debug(), 0));
  }

  [[nodiscard]] std::uint64_t number(const char* tag) const {
    const pugi::xml_node node = element(tag);
    return number(trimmed(node.child_value()), node);
  }

  [[nodiscard]] std::uint64_t number(std::string_view text, const pugi::xml_node& node) const {
    std::uint64_t value = 0;
    const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || fault != std::errc() || end != text.data() + text.size()) {
      fail(place(node), fmt::format("{} is no number", node.name()));
    }
    return value;
  }

  [[nodiscard]] io::DigestAlgorithm algorithm() const {
    if (is_old()) return io::DigestAlgorithm::sha1;
    const std::string name = lower(trimmed(element("ChecksumType").child_value()));
    const auto found = io::parse_digest_name(name);
    if (found && *found != io::DigestAlgorithm::xxh3) return *found;
    throw io::Error(io::ErrorKind::unsupported, name_,
                    "has a ChecksumType that imgtool cannot compute");
  }

  [[nodiscard]] bool is_checksum(std::string_view text, io::DigestAlgorithm algorithm) const {
    return text.size() == io::digest_hex_digits(algorithm) &&
           std::all_of(text.begin(), text.end(),
                       [](unsigned char c) { return std::isxdigit(c) != 0; });
  }

  // The digest of the file in which the digest itself is zeros.
  void check_own_checksum(io::DigestAlgorithm algorithm) const {
    const char* tag = is_old() ? "BmapFileSHA1" : "BmapFileChecksum";
    if (is_old() && !root_.child(tag)) return;  // 1.2 has none
    const pugi::xml_node node = element(tag);
    const pugi::xml_node content = node.first_child();
    const std::string_view stated = trimmed(content.value());
    if (content.type() != pugi::node_pcdata || !is_checksum(stated, algorithm)) {
      fail(place(node), fmt::format("{} is no {} checksum", tag, io::digest_name(algorithm)));
    }
    const std::size_t at = text_.find(stated, place(content));
    if (at == std::string_view::npos) fail(place(node), fmt::format("{} is unreadable", tag));
    const std::string zeros(stated.size(), '0');
    io::Digest digest(algorithm);
    for (const std::string_view part :
         {text_.substr(0, at), std::string_view(zeros), text_.substr(at + stated.size())}) {
      digest.update(std::as_bytes(std::span(part)));
    }
    if (checksum_fits(lower(stated), digest.hex())) return;
    fail(at, "its checksum of itself is wrong: it was changed or damaged");
  }

  void read_ranges(Bmap& map) const {
    const char* attribute = is_old() ? "sha1" : "chksum";
    std::uint64_t next_block = 0;
    std::uint64_t mapped_blocks = 0;
    const auto ranges = element("BlockMap").children("Range");
    map.mapped.reserve(static_cast<std::size_t>(std::distance(ranges.begin(), ranges.end())));
    for (const pugi::xml_node& node : ranges) {
      const std::string_view text = trimmed(node.child_value());
      const std::size_t dash = text.find('-');
      const std::uint64_t first = number(trimmed(text.substr(0, dash)), node);
      const std::uint64_t last =
          dash == std::string_view::npos ? first : number(trimmed(text.substr(dash + 1)), node);
      if (first < next_block || last < first || last >= blocks_) {
        fail(place(node), fmt::format("the Range {}-{} is before the one above it, or outside of "
                                      "the image",
                                      first, last));
      }
      const std::uint64_t end = std::min((last + 1) * map.block_size, map.image_size);
      Range range{io::range_between(first * map.block_size, end), {}};
      if (const auto checksum = node.attribute(attribute)) {
        range.checksum = lower(trimmed(checksum.value()));
        if (!is_checksum(range.checksum, map.algorithm)) {
          fail(place(node), fmt::format("the Range {}-{} has no valid checksum", first, last));
        }
      }
      map.mapped.push_back(std::move(range));
      next_block = last + 1;
      mapped_blocks += last - first + 1;
    }
    if (number("MappedBlocksCount") != mapped_blocks) {
      fail(0, fmt::format("MappedBlocksCount is not {}, which the ranges have", mapped_blocks));
    }
  }

  const std::string& name_;
  std::string_view text_;
  std::string parsed_;  // the tree points into it
  pugi::xml_document document_;
  pugi::xml_node root_;
  unsigned major_ = 0;
  unsigned minor_ = 0;
  std::uint64_t blocks_ = 0;
};

}  // namespace

const Range* Bmap::range_from(std::uint64_t offset) const {
  const auto found = std::upper_bound(
      mapped.begin(), mapped.end(), offset,
      [](std::uint64_t place, const Range& range) { return place < range.bytes.end(); });
  return found == mapped.end() ? nullptr : &*found;
}

bool Bmap::touches(io::ByteRange bytes) const {
  const Range* range = range_from(bytes.offset);
  return range != nullptr && range->bytes.offset < bytes.end();
}

Bmap parse(const std::string& name, std::span<const std::byte> text) {
  return Parser(name, text).parse();
}

Bmap read(const std::string& path) {
  const io::File file(path, O_RDONLY);
  const io::FileStatus status = file.status();
  if (status.kind != io::FileKind::regular || status.size > most_text_bytes) {
    throw io::Error(io::ErrorKind::unsupported, path,
                    "is no block map: it is no file, or longer than 64 MiB");
  }
  std::vector<std::byte> text(status.size);
  text.resize(file.read_at(0, text));
  return parse(path, text);
}

std::string to_text(const Bmap& map) {
  const std::uint64_t blocks =
      map.image_size / map.block_size + (map.image_size % map.block_size != 0 ? 1 : 0);
  std::uint64_t mapped_blocks = 0;
  std::string ranges;
  for (const Range& range : map.mapped) {
    const std::uint64_t first = range.bytes.offset / map.block_size;
    const std::uint64_t last = (range.bytes.end() - 1) / map.block_size;
    mapped_blocks += last - first + 1;
    ranges +=
        fmt::format("        <Range chksum=\"{}\"> {} </Range>\n", range.checksum,
                    first == last ? fmt::to_string(first) : fmt::format("{}-{}", first, last));
  }
  const std::string zeros(io::digest_hex_digits(map.algorithm), '0');
  const std::string before = fmt::format(
      "<?xml version=\"1.0\" ?>\n"
      "<!-- Blocks of a disk image that hold something else than zeros, made by imgtool.\n"
      "     The checksum of this file is computed with its own digits as zeros. -->\n"
      "<bmap version=\"2.0\">\n"
      "    <ImageSize> {} </ImageSize>\n"
      "    <BlockSize> {} </BlockSize>\n"
      "    <BlocksCount> {} </BlocksCount>\n"
      "    <MappedBlocksCount> {} </MappedBlocksCount>\n"
      "    <ChecksumType> {} </ChecksumType>\n"
      "    <BmapFileChecksum> ",
      map.image_size, map.block_size, blocks, mapped_blocks, io::digest_name(map.algorithm));
  const std::string behind =
      fmt::format(" </BmapFileChecksum>\n    <BlockMap>\n{}    </BlockMap>\n</bmap>\n", ranges);
  io::Digest digest(map.algorithm);
  const std::string blanked = before + zeros + behind;
  digest.update(std::as_bytes(std::span(blanked)));
  return before + digest.hex() + behind;
}

std::optional<std::string> find_beside(const std::string& image_path) {
  std::filesystem::path stem(image_path);
  while (true) {
    const std::string candidate = stem.string() + ".bmap";
    std::error_code error;
    if (candidate != image_path && std::filesystem::is_regular_file(candidate, error)) {
      return candidate;
    }
    if (!stem.has_extension()) return std::nullopt;
    stem.replace_extension();
  }
}

}  // namespace formats::bmap
