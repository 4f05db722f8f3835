// Which processes have a block device open for writing: a virtual machine or another burner
// that the kernel would not keep us from, since it did not ask for O_EXCL.
#pragma once

#include <string>
#include <vector>

#include "io/devices/device_inventory.hpp"

namespace io {

struct Opener {
  unsigned pid = 0;
  std::string command;  // as the process calls itself, at most 15 bytes

  [[nodiscard]] std::string label() const;
};

// Those that have the device, its disk or one of its partitions open for writing, this process
// not counted. Other users' processes are seen by root only.
std::vector<Opener> processes_writing(const BlockDevice& device, const DeviceInventory& inventory);

}  // namespace io
