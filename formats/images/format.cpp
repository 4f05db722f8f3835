#include "formats/images/format.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace formats {
namespace {

constexpr std::array<std::pair<Format, std::string_view>, 19> names{{
    {Format::raw, "raw"},
    {Format::qcow2, "qcow2"},
    {Format::gz, "gz"},
    {Format::xz, "xz"},
    {Format::bz2, "bz2"},
    {Format::zst, "zst"},
    {Format::simg, "simg"},
    {Format::vdi, "vdi"},
    {Format::vpc, "vpc"},
    {Format::vhdx, "vhdx"},
    {Format::qed, "qed"},
    {Format::qcow, "qcow"},
    {Format::parallels, "parallels"},
    {Format::vmdk, "vmdk"},
    {Format::lz4, "lz4"},
    {Format::lzma, "lzma"},
    {Format::zip, "zip"},
    {Format::tar, "tar"},
    {Format::dmg, "dmg"},
}};

}  // namespace

bool is_stream(Format format) {
  return format == Format::gz || format == Format::xz || format == Format::bz2 ||
         format == Format::zst || format == Format::lz4 || format == Format::lzma;
}

bool counts_sectors(Format format) {
  return format != Format::raw && format != Format::simg && !is_stream(format);
}

bool is_archive(Format format) { return format == Format::zip || format == Format::tar; }

std::string_view name_of(Format format) {
  const auto* const found = std::find_if(
      names.begin(), names.end(), [format](const auto& entry) { return entry.first == format; });
  return found->second;
}

std::optional<Format> format_named(std::string_view name) {
  const auto* const found = std::find_if(
      names.begin(), names.end(), [name](const auto& entry) { return entry.second == name; });
  if (found == names.end()) return std::nullopt;
  return found->first;
}

std::vector<std::string> format_names() {
  std::vector<std::string> all;
  all.reserve(names.size());
  for (const auto& [format, name] : names) all.emplace_back(name);
  return all;
}

}  // namespace formats
