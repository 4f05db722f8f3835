#include "formats/format.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace formats {
namespace {

constexpr std::array<std::pair<Format, std::string_view>, 2> format_names{{
    {Format::raw, "raw"},
    {Format::qcow2, "qcow2"},
}};

}  // namespace

std::string_view name_of(Format format) {
  const auto* const found =
      std::find_if(format_names.begin(), format_names.end(),
                   [format](const auto& entry) { return entry.first == format; });
  return found->second;
}

std::optional<Format> format_named(std::string_view name) {
  const auto* const found =
      std::find_if(format_names.begin(), format_names.end(),
                   [name](const auto& entry) { return entry.second == name; });
  if (found == format_names.end()) return std::nullopt;
  return found->first;
}

}  // namespace formats
