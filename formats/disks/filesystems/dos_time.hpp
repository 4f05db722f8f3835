// Dates and times as FAT and exFAT store them.
#pragma once

#include <cstdint>

namespace formats::filesystems {

// Seconds since 1970 of a date (the high word) and a time (the low one), taken for UTC: FAT does
// not say in which zone they are. 0 for what is no date.
[[nodiscard]] std::int64_t seconds_of_dos_time(std::uint32_t date_and_time);

}  // namespace formats::filesystems
