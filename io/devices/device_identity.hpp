// Who a disk is: model, serial numbers, WWN and transport, from whichever source knows.
//
// A disk has several answers. Behind a USB dock the SCSI inquiry may name the bridge, while
// udev asked the disk itself; on kernel 3.10 there is no VPD page in sysfs. So every source is
// asked, the likeliest answer is shown, and the others are kept for comparing.
#pragma once

#include <string>
#include <string_view>

#include "io/devices/device_inventory.hpp"

namespace io {

// "usb", "sata", "nvme", …; "" when the place in sysfs does not tell.
std::string transport_of(const BlockDevice& device);

// Fills model, serial, other_serials and wwn. The links must already be there.
void identify(BlockDevice& device, const SystemRoots& roots);

// Order of names in /dev/disk/by-id: those that tell model and serial come first.
bool better_link(std::string_view a, std::string_view b);

}  // namespace io
