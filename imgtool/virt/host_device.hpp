// Devices of the host that a domain is given whole, and the disks that go with them: a disk
// controller on the PCI bus, an NVMe drive, a disk on the SCSI bus, a USB stick. No <source> of
// such a device names the disk, so what the kernel calls it is found through sysfs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/devices/device_inventory.hpp"

namespace pugi {
class xml_node;
}

namespace imgtool::virt {

struct HostDevice {
  enum class Bus : std::uint8_t { pci, scsi, usb };

  Bus bus = Bus::pci;
  // pci: "0000:01:00.0"; scsi: "1:0:0:0", host, channel, target, unit; usb: "2:7", bus and device
  std::string address;
  // usb, without an address: "0951:1666", vendor and product
  std::string model{};
  std::string target{};  // of <disk type='nvme'>: vda; else ""
  bool readonly = false;
  bool shareable = false;

  [[nodiscard]] std::string label() const;  // "PCI device 0000:01:00.0"
};

// The <hostdev> elements and NVMe disks below <devices>; those of other kinds carry no disk.
std::vector<HostDevice> read_host_devices(const pugi::xml_node& devices);

// Whether the disk is this device, or hangs on it.
bool carries(const HostDevice& device, const io::BlockDevice& disk);

}  // namespace imgtool::virt
