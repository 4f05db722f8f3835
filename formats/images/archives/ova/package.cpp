#include "formats/images/archives/ova/package.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "formats/images/archives/member_choice.hpp"

namespace formats::ova {
namespace {

constexpr std::size_t most_disks = 256;
constexpr std::string_view spaces = " \t\r\n";

std::string_view trimmed(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(spaces), text.size()));
  return text.substr(0, text.find_last_not_of(spaces) + 1);
}

// Without "ovf:".
std::string_view local_name(std::string_view name) { return name.substr(name.rfind(':') + 1); }

// The entities that XML itself has; others stay as they are.
std::string plain_text(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, char>, 5> entities = {
      {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}}};
  std::string plain;
  while (!text.empty()) {
    const auto* const found =
        std::find_if(entities.begin(), entities.end(),
                     [text](const auto& entity) { return text.starts_with(entity.first); });
    plain += found == entities.end() ? text.front() : found->second;
    text.remove_prefix(found == entities.end() ? 1 : found->first.size());
  }
  return plain;
}

// One after another: the name and the attributes of each element that begins.
class ElementScanner {
 public:
  explicit ElementScanner(std::string_view text) : text_(text) {}

  // False: there are no more.
  bool next() {
    while (true) {
      text_.remove_prefix(std::min(text_.find('<'), text_.size()));
      if (text_.empty()) return false;
      if (text_.starts_with("<!--")) {
        skip_past("-->");
      } else if (text_.starts_with("<![CDATA[")) {
        skip_past("]]>");
      } else {
        return take_tag();
      }
    }
  }

  [[nodiscard]] std::string_view name() const { return name_; }

  // "" where the element does not have it.
  [[nodiscard]] std::string attribute(std::string_view wanted) const {
    std::string_view rest = attributes_;
    while (true) {
      rest = trimmed(rest);
      const std::size_t equals = rest.find('=');
      if (equals == std::string_view::npos) return {};
      const std::string_view name = trimmed(rest.substr(0, equals));
      rest = trimmed(rest.substr(equals + 1));
      if (rest.empty() || (rest.front() != '"' && rest.front() != '\'')) return {};
      const std::size_t end = rest.find(rest.front(), 1);
      if (end == std::string_view::npos) return {};
      if (local_name(name) == wanted) return plain_text(rest.substr(1, end - 1));
      rest.remove_prefix(end + 1);
    }
  }

 private:
  void skip_past(std::string_view end) {
    const std::size_t found = text_.find(end);
    text_.remove_prefix(found == std::string_view::npos ? text_.size() : found + end.size());
  }

  // Up to the '>' that is in no quotes.
  bool take_tag() {
    char quote = '\0';
    std::size_t end = 1;
    for (; end < text_.size(); ++end) {
      const char c = text_[end];
      if (quote != '\0') {
        if (c == quote) quote = '\0';
      } else if (c == '"' || c == '\'') {
        quote = c;
      } else if (c == '>') {
        break;
      }
    }
    const std::string_view tag = text_.substr(1, end - 1);
    text_.remove_prefix(std::min(end + 1, text_.size()));
    const std::size_t name_end = std::min(tag.find_first_of(" \t\r\n/"), tag.size());
    name_ = local_name(tag.substr(0, name_end));
    attributes_ = tag.substr(name_end);
    return true;
  }

  std::string_view text_;
  std::string_view name_;
  std::string_view attributes_;
};

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec != std::errc() || result.ptr != text.data() + text.size()) return std::nullopt;
  return value;
}

// "byte * 2^30": the exponent; "byte" or nothing: 0.
std::optional<unsigned> exponent_of(std::string_view units) {
  const std::size_t caret = units.find('^');
  if (caret == std::string_view::npos)
    return units.empty() || units == "byte" ? std::optional(0U) : std::nullopt;
  const auto value = number(trimmed(units.substr(caret + 1)));
  return value && *value < 63 ? std::optional(static_cast<unsigned>(*value)) : std::nullopt;
}

std::optional<std::uint64_t> capacity_of(const ElementScanner& element) {
  const auto value = number(element.attribute("capacity"));
  const auto exponent = exponent_of(trimmed(element.attribute("capacityAllocationUnits")));
  if (!value || !exponent || *value > (~std::uint64_t{0} >> *exponent)) return std::nullopt;
  return *value << *exponent;
}

bool has_suffix(std::string_view name, std::string_view suffix) {
  return name.size() >= suffix.size() &&
         std::equal(suffix.rbegin(), suffix.rend(), name.rbegin(), [](char a, char b) {
           return a == (b >= 'A' && b <= 'Z' ? static_cast<char>(b + ('a' - 'A')) : b);
         });
}

}  // namespace

bool is_descriptor(std::string_view name) { return has_suffix(name, ".ovf"); }
bool is_manifest(std::string_view name) { return has_suffix(name, ".mf"); }

std::vector<Disk> stored_disks(std::vector<Disk> disks) {
  std::erase_if(disks, [](const Disk& disk) { return disk.file.empty(); });
  return disks;
}

void refuse_several(const std::string& path, const std::vector<Disk>& disks) {
  std::vector<archives::Listed> images;
  images.reserve(disks.size());
  for (const Disk& disk : disks) images.push_back({disk.file, disk.capacity.value_or(0)});
  archives::refuse_several(path, images);
}

std::vector<Disk> parse_descriptor(std::string_view text) {
  std::vector<std::pair<std::string, std::string>> files;  // id, name
  std::vector<Disk> disks;
  std::vector<std::string> references;  // of the disks
  ElementScanner element(text.substr(0, most_text_bytes));
  while (element.next()) {
    if (element.name() == "File" && files.size() < most_disks) {
      files.emplace_back(element.attribute("id"), element.attribute("href"));
    } else if (element.name() == "Disk" && disks.size() < most_disks) {
      disks.push_back(
          {element.attribute("diskId"), {}, capacity_of(element), element.attribute("format")});
      references.push_back(element.attribute("fileRef"));
    }
  }
  for (std::size_t i = 0; i < disks.size(); ++i) {
    const auto found = std::find_if(files.begin(), files.end(), [&](const auto& file) {
      return !references[i].empty() && file.first == references[i];
    });
    if (found != files.end()) disks[i].file = found->second;
  }
  return disks;
}

std::vector<FileDigest> parse_manifest(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, io::DigestAlgorithm>, 3> algorithms = {
      {{"SHA1", io::DigestAlgorithm::sha1},
       {"SHA256", io::DigestAlgorithm::sha256},
       {"SHA512", io::DigestAlgorithm::sha512}}};
  std::vector<FileDigest> digests;
  text = text.substr(0, most_text_bytes);
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const std::size_t open = line.find('(');
    const std::size_t close = line.rfind(')');
    const std::size_t equals = line.find('=', std::min(close, line.size()));
    if (open == std::string_view::npos || close < open || equals == std::string_view::npos)
      continue;
    const std::string_view name = trimmed(line.substr(0, open));
    const auto* const found = std::find_if(algorithms.begin(), algorithms.end(),
                                           [name](const auto& one) { return one.first == name; });
    if (found == algorithms.end()) continue;
    std::string hex(trimmed(line.substr(equals + 1)));
    for (char& c : hex) c = c >= 'A' && c <= 'F' ? static_cast<char>(c + ('a' - 'A')) : c;
    if (hex.size() != io::digest_hex_digits(found->second)) continue;
    digests.push_back({std::string(line.substr(open + 1, close - open - 1)), found->second, hex});
  }
  return digests;
}

}  // namespace formats::ova
