#include "formats/images/archives/member_choice.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "io/error.hpp"

namespace formats::archives {
namespace {

constexpr std::size_t most_listed = 20;
constexpr std::size_t most_members = std::size_t{1} << 18;
constexpr std::size_t most_name_bytes = std::size_t{64} << 20;

constexpr auto companion_suffixes = std::to_array<std::string_view>(
    {".ovf",   ".mf",    ".cert", ".txt", ".md",   ".sha256", ".sha256sum", ".sha512",
     ".sha1",  ".md5",   ".asc",  ".sig", ".json", ".xml",    ".pdf",       ".html",
     ".htm",   ".nfo",   ".log",  ".url", ".bmap", ".info",   ".yml",       ".yaml",
     ".nvram", ".plist", ".ini",  ".cfg", ".sh",   ".bat"});

constexpr auto image_suffixes = std::to_array<std::string_view>(
    {".img",    ".raw",     ".iso",     ".wic",    ".hdd",      ".dd",      ".simg",
     ".sdimg",  ".qcow2",   ".qcow",    ".vmdk",   ".vhd",      ".vhdx",    ".vdi",
     ".hds",    ".qed",     ".img.gz",  ".img.xz", ".img.zst",  ".img.bz2", ".img.lz4",
     ".raw.gz", ".raw.xz",  ".raw.zst", ".vhd.xz", ".qcow2.xz", ".vmdk.gz", ".wic.gz",
     ".wic.xz", ".wic.bz2", ".wic.zst", ".iso.gz"});

std::string lower(std::string_view name) {
  std::string text(name);
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  return text;
}

template <std::size_t N>
bool has_suffix(std::string_view name, const std::array<std::string_view, N>& suffixes) {
  const std::string text = lower(name);
  return std::any_of(suffixes.begin(), suffixes.end(),
                     [&](std::string_view suffix) { return text.ends_with(suffix); });
}

std::string_view last_part(std::string_view name) { return name.substr(name.rfind('/') + 1); }

std::string list_of(const std::vector<Listed>& members, const std::vector<std::size_t>& some) {
  std::string text;
  for (std::size_t i = 0; i < some.size() && i < most_listed; ++i) {
    const Listed& member = members[some[i]];
    text += fmt::format("{}{} ({} bytes)", i == 0 ? "" : ", ", member.name, member.size);
  }
  if (some.size() > most_listed) text += fmt::format(", and {} more", some.size() - most_listed);
  return text;
}

template <typename Condition>
std::vector<std::size_t> members_that(const std::vector<Listed>& members, Condition condition) {
  std::vector<std::size_t> found;
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (condition(members[i])) found.push_back(i);
  }
  return found;
}

std::size_t find_named(const MemberList& list, const std::string& wanted) {
  const std::string& path = list.path();
  const std::vector<Listed>& members = list.members();
  auto found = members_that(members, [&](const Listed& one) { return one.name == wanted; });
  if (found.empty()) {
    found = members_that(members, [&](const Listed& one) { return last_part(one.name) == wanted; });
  }
  if (found.size() == 1) return found.front();
  if (found.empty()) {
    const auto all = members_that(members, [](const Listed&) { return true; });
    throw io::Error::refusal(path, fmt::format("has no member {}; it holds {}", wanted,
                                               all.empty() ? "none" : list_of(members, all)));
  }
  throw io::Error::refusal(path, fmt::format("has {} members of the name {}: {}", found.size(),
                                             wanted, list_of(members, found)));
}

}  // namespace

bool is_companion(std::string_view name) {
  const std::string_view last = last_part(name);
  return last.empty() || last.starts_with("._") || last == ".DS_Store" ||
         name.starts_with("__MACOSX/") || has_suffix(name, companion_suffixes) ||
         last == "README" || last == "LICENSE" || last == "COPYING" || last == "SHA256SUMS";
}

bool is_named(std::string_view name, std::string_view wanted) {
  return name == wanted || last_part(name) == wanted;
}

void MemberList::add(std::string name, std::uint64_t size) {
  name_bytes_ += name.size();
  if (members_.size() == most_members || name_bytes_ > most_name_bytes) {
    throw io::Error::refusal(path_, "has too many members to look for an image among them");
  }
  members_.push_back({std::move(name), size});
}

std::size_t choose_member(const MemberList& list, const std::string& wanted) {
  if (!wanted.empty()) return find_named(list, wanted);
  const std::string& path = list.path();
  const std::vector<Listed>& members = list.members();
  const auto images = members_that(
      members, [](const Listed& one) { return one.size > 0 && !is_companion(one.name); });
  if (images.size() == 1) return images.front();
  if (images.empty()) {
    const auto all = members_that(members, [](const Listed&) { return true; });
    throw io::Error::refusal(path, fmt::format("is an archive without a disk image: it holds {}",
                                               all.empty() ? "nothing" : list_of(members, all)));
  }
  const auto named = members_that(members, [](const Listed& one) {
    return one.size > 0 && has_suffix(one.name, image_suffixes) && !is_companion(one.name);
  });
  if (named.size() == 1) return named.front();
  std::vector<Listed> several;
  several.reserve(images.size());
  for (const std::size_t index : images) several.push_back(members[index]);
  refuse_several(path, several);
}

void refuse_several(const std::string& path, const std::vector<Listed>& images) {
  const auto all = members_that(images, [](const Listed&) { return true; });
  throw io::Error::refusal(path, fmt::format("holds several images; choose one with --member: {}",
                                             list_of(images, all)));
}

}  // namespace formats::archives
