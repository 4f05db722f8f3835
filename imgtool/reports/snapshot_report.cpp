#include "imgtool/reports/snapshot_report.hpp"

#include <array>
#include <cstdint>
#include <ctime>

#include <fmt/format.h>

#include "imgtool/terminal/human.hpp"
#include "imgtool/terminal/table.hpp"

namespace imgtool {
namespace {

using formats::qcow2::Snapshot;

constexpr std::uint64_t ns_per_second = 1'000'000'000;

}  // namespace

std::string local_time(std::uint32_t seconds) {
  const auto time = static_cast<std::time_t>(seconds);
  std::tm parts{};
  std::array<char, 32> text{};
  if (localtime_r(&time, &parts) == nullptr) return std::to_string(seconds);
  std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S", &parts);
  return text.data();
}

// "HH:MM:SS.mmm", as qemu-img shows it.
std::string machine_time(std::uint64_t ns) {
  const std::uint64_t seconds = ns / ns_per_second;
  return fmt::format("{:02}:{:02}:{:02}.{:03}", seconds / 3600, seconds / 60 % 60, seconds % 60,
                     ns / 1'000'000 % 1000);
}

Json snapshot_json(const Snapshot& snapshot) {
  Json json;
  json["id"] = snapshot.id;
  json["name"] = snapshot.name;
  json["vm-state-size"] = snapshot.vm_state_size;
  json["date-sec"] = snapshot.date_sec;
  json["date-nsec"] = snapshot.date_nsec;
  json["vm-clock-sec"] = snapshot.vm_clock_nsec / ns_per_second;
  json["vm-clock-nsec"] = snapshot.vm_clock_nsec % ns_per_second;
  if (snapshot.icount) json["icount"] = *snapshot.icount;
  return json;
}

std::string snapshot_table(const std::vector<Snapshot>& snapshots) {
  Table table({{"ID"}, {"NAME"}, {"DISK"}, {"VM STATE"}, {"DATE"}, {"VM CLOCK"}});
  for (const Snapshot& snapshot : snapshots) {
    table.add({snapshot.id, snapshot.name, human_size(snapshot.disk_size),
               human_size(snapshot.vm_state_size), local_time(snapshot.date_sec),
               machine_time(snapshot.vm_clock_nsec)});
  }
  std::string text;
  for (const std::string& line : table.lines(std::nullopt)) text += line + "\n";
  return text;
}

}  // namespace imgtool
