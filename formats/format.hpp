// The formats of disk images, and their names.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace formats {

enum class Format : std::uint8_t { raw, qcow2 };

// "raw", "qcow2"; what -f takes and what images call each other.
[[nodiscard]] std::string_view name_of(Format format);
[[nodiscard]] std::optional<Format> format_named(std::string_view name);

}  // namespace formats
