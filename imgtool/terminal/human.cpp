#include "imgtool/terminal/human.hpp"

#include <array>
#include <cmath>

#include <fmt/format.h>

namespace imgtool {
namespace {

struct WholeTime {
  std::uint64_t days, hours, minutes, seconds;
};

WholeTime split(double seconds) {
  constexpr double longest = 1e9;  // 31 years: longer waits need no seconds
  const auto whole = static_cast<std::uint64_t>(std::fmin(std::round(seconds), longest));
  return {whole / 86400, whole / 3600 % 24, whole / 60 % 60, whole % 60};
}

}  // namespace

std::string human_size(std::uint64_t bytes) {
  constexpr std::array units = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < 1024) {
    return fmt::format("{} B", bytes);
  }
  double value = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  // 1023.5 would be printed as 1024: it reads better as 1.0 of the next unit.
  while (value >= 1023.5 && unit + 1 < units.size()) {
    value /= 1024;
    ++unit;
  }
  return value < 99.95 ? fmt::format("{:.1f} {}", value, units[unit])
                       : fmt::format("{:.0f} {}", value, units[unit]);
}

std::string number_of(std::uint64_t count, std::string_view thing) {
  return fmt::format("{} {}{}", count, thing, count == 1 ? "" : "s");
}

std::string human_rate(double bytes_per_second) {
  return human_size(static_cast<std::uint64_t>(std::fmax(bytes_per_second, 0))) + "/s";
}

std::string human_duration(double seconds) {
  if (seconds < 9.95) {
    return fmt::format("{:.1f} s", std::fmax(seconds, 0));
  }
  const WholeTime time = split(seconds);
  if (time.days > 0) {
    return fmt::format("{} d {:02} h", time.days, time.hours);
  }
  if (time.hours > 0) {
    return fmt::format("{} h {:02} min", time.hours, time.minutes);
  }
  if (time.minutes > 0) {
    return fmt::format("{} min {:02} s", time.minutes, time.seconds);
  }
  return fmt::format("{} s", time.seconds);
}

std::string clock_duration(double seconds) {
  const WholeTime time = split(std::fmax(seconds, 0));
  if (time.days >= 4) {
    return fmt::format("{} d", time.days);
  }
  const std::uint64_t hours = time.days * 24 + time.hours;
  if (hours >= 10) {
    return fmt::format("{} h {:02}", hours, time.minutes);
  }
  if (hours > 0) {
    return fmt::format("{}:{:02}:{:02}", hours, time.minutes, time.seconds);
  }
  return fmt::format("{}:{:02}", time.minutes, time.seconds);
}

}  // namespace imgtool
