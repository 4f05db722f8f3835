// Numbers as people read them: short, rounded, of steady width. Machines get --json instead.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace imgtool {

// "0 B", "512 B", "1.5 GiB", "1023 MiB": three significant digits, at most 8 columns
// (9 from 1000 PiB on).
std::string human_size(std::uint64_t bytes);

// "1 file", "2 files".
std::string number_of(std::uint64_t count, std::string_view thing);

// "312 MiB/s".
std::string human_rate(double bytes_per_second);

// A duration that has passed: "0.3 s", "42 s", "3 min 20 s", "2 h 05 min", "4 d 01 h".
std::string human_duration(double seconds);

// A clock reading, at most 7 columns: "0:07", "12:34", "1:02:03", "10 h 02", "4 d".
std::string clock_duration(double seconds);

}  // namespace imgtool
