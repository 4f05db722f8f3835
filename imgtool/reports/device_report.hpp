// Block devices and their uses, as a table for people and as JSON.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "imgtool/terminal/json.hpp"
#include "io/devices/device_usage.hpp"

namespace imgtool {

// What a user would burn to: disks with a medium, and multipath disks. `all`: also partitions,
// volumes, arrays, attached loop devices and drives without a medium. Disks come first.
std::vector<const io::BlockDevice*> listed_devices(const io::DeviceInventory& inventory, bool all);

struct DeviceTableOptions {
  bool kinds = false;                // with a column that tells disks from what is not
  bool verbose = false;              // with every name, use and remedy, on lines of their own
  std::optional<std::size_t> width;  // of the terminal
};

// Harmless for a terminal, whatever the devices call themselves.
std::string device_table(const std::vector<const io::BlockDevice*>& devices,
                         const io::DeviceUsage& usage, const DeviceTableOptions& options);

Json device_document(const io::BlockDevice& device, const io::DeviceUsage& usage);

}  // namespace imgtool
