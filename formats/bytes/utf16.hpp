// Names on disks of Windows.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace formats {

// Little-endian UTF-16 as UTF-8, up to the first NUL. What is no character becomes U+FFFD.
[[nodiscard]] std::string utf8_from_utf16(std::span<const std::byte> text);

}  // namespace formats
