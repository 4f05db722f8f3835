// imgtool devices: the disks of this machine, and what uses each of them.
#include <unistd.h>

#include "imgtool/command.hpp"
#include "imgtool/reports/device_report.hpp"
#include "imgtool/terminal/exit_code.hpp"
#include "imgtool/terminal/json.hpp"
#include "imgtool/terminal/report.hpp"
#include "imgtool/terminal/text_output.hpp"

namespace imgtool {

int run_devices(const Arguments& arguments) {
  bool all = false;
  CommandLine line(
      "devices",
      "Lists the disks of this machine: name, size, bus, sector sizes (logical/physical),"
      " model, serial number, a name that stays, and what uses them.");
  line.option(
      "all", flag_into(all),
      "also partitions, loop devices, logical volumes, RAID arrays, drives without a medium");
  line.example("imgtool devices", "which disk is which, and which is free");
  line.example("imgtool -v devices", "with every name, every use, and the command that ends it");
  line.example("imgtool devices --all --json", "all there is to know, sizes in bytes");
  if (const auto exit = line.parse(arguments)) {
    return *exit;
  }

  const io::DeviceInventory inventory;
  const io::DeviceUsage usage(inventory);
  const auto devices = listed_devices(inventory, all);
  if (line.common().json) {
    auto list = Json::array();
    for (const io::BlockDevice* device : devices) {
      list.push_back(device_document(*device, usage));
    }
    print_json({{"devices", std::move(list)}});
  } else if (devices.empty()) {
    print(all ? "No block devices.\n" : "No disks (--all shows other block devices).\n");
  } else {
    DeviceTableOptions options;
    options.kinds = all;
    options.verbose = line.common().verbose;
    if (const auto screen = FdOutput(STDOUT_FILENO).screen()) {
      options.width = screen->columns;
    }
    print(device_table(devices, usage, options));
  }
  return exit_code::done;
}

}  // namespace imgtool
