// What uses a block device, and how to end that, said to people.
//
// Names are as they are: what prints the text escapes it. Commands are quoted for a shell.
#pragma once

#include <string>
#include <vector>

#include "io/devices/device_use.hpp"

namespace imgtool {

// One phrase after the device's name: "mounted on /srv (through /dev/sdb1, vg0/data)".
[[nodiscard]] std::string phrase_of(const io::DeviceUse& use);

// A shell command that ends this use, or advice in words; "" when there is neither.
[[nodiscard]] std::string remedy_of(const io::DeviceUse& use);

// A note for each device of which something could not be read.
[[nodiscard]] std::vector<std::string> notes_of_doubts(const io::DeviceInventory& inventory);

}  // namespace imgtool
