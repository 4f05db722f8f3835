// What `analyze --files` found, in words and as JSON.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "imgtool/reports/analyze_report.hpp"

namespace imgtool {

// "page files", "packages that are installed": for people. Empty for an unknown use.
[[nodiscard]] std::string_view phrase_of(formats::FileUse use);

[[nodiscard]] Json to_json(const std::vector<VolumeFiles>& volumes);
[[nodiscard]] std::string to_text(const std::vector<VolumeFiles>& volumes,
                                  std::optional<std::size_t> width);

}  // namespace imgtool
