// Internal snapshots of an image, for people and for programs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "formats/images/qcow2/snapshots.hpp"
#include "imgtool/terminal/json.hpp"

namespace imgtool {

// With qemu-img's keys.
[[nodiscard]] Json snapshot_json(const formats::qcow2::Snapshot& snapshot);

// A line for each, below a heading; ends with a newline. Dates are local time.
[[nodiscard]] std::string snapshot_table(const std::vector<formats::qcow2::Snapshot>& snapshots);

// When it was made, "YYYY-MM-DD HH:MM:SS" in local time; and its machine's clock, "HH:MM:SS.mmm".
[[nodiscard]] std::string local_time(std::uint32_t seconds);
[[nodiscard]] std::string machine_time(std::uint64_t ns);

}  // namespace imgtool
