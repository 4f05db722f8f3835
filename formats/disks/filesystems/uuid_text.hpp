// Identifiers and labels from the bytes of a disk.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace formats::filesystems {

// 16 bytes in the order they are written: "2c7357ed-ebd2-46d9-aec1-23d437ec2bf5"; "" for all zeros.
[[nodiscard]] std::string uuid_text(std::span<const std::byte> bytes);

// Up to the first zero byte, as it is: escape before printing.
[[nodiscard]] std::string text_up_to_zero(std::span<const std::byte> bytes);

}  // namespace formats::filesystems
