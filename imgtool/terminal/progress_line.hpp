// One target's progress, and the three ways to write it down. Pure functions: no clock, no output.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "io/observer.hpp"

namespace imgtool {

struct TargetProgress {
  enum class State : std::uint8_t { waiting, running, ended, failed };

  std::string name;
  State state = State::waiting;
  io::Phase phase = io::Phase::write;
  std::uint64_t done = 0;              // bytes completed in this phase
  std::optional<std::uint64_t> total;  // bytes; empty when unknown
  double rate = 0;                     // bytes a second; the phase's mean once it has ended
  double elapsed_s = 0;                // in this phase
  std::string why = {};                // it failed
};

std::string_view phase_name(io::Phase phase);

// 0 to 99 while the phase runs, however much is done; 100 once it has ended. Empty when unknown.
std::optional<unsigned> percent(const TargetProgress& target);

// Seconds to go; empty when unknown, or too early to tell.
std::optional<double> eta_s(const TargetProgress& target);

// A line of at most `columns` columns (40 or more; less is cut), without its end:
//   /dev/sdb  write   45%  [=======>        ]  1.8 GiB / 4.0 GiB  312 MiB/s  ETA 0:07
// The name is given `name_columns`, so that several targets' lines form a table.
std::string bar_line(const TargetProgress& target, std::size_t name_columns, std::size_t columns);

// A sentence: "/dev/sdb: write 45%, 1.8 GiB of 4.0 GiB, 312 MiB/s, ETA 0:07".
std::string plain_line(const TargetProgress& target);

// One JSON object; an unknown total, rate or ETA is null.
std::string json_line(const TargetProgress& target);

}  // namespace imgtool
