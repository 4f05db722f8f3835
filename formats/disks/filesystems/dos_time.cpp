#include "formats/disks/filesystems/dos_time.hpp"

#include <chrono>

namespace formats::filesystems {

std::int64_t seconds_of_dos_time(std::uint32_t date_and_time) {
  const std::chrono::year_month_day date(
      std::chrono::year(static_cast<int>(date_and_time >> 25) + 1980),
      std::chrono::month(date_and_time >> 21 & 15), std::chrono::day(date_and_time >> 16 & 31));
  if (!date.ok()) return 0;
  const std::int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  const std::uint32_t time = date_and_time & 0xffff;
  return days * 86400 + std::int64_t{time >> 11} * 3600 + std::int64_t{time >> 5 & 63} * 60 +
         std::int64_t{time & 31} * 2;
}

}  // namespace formats::filesystems
