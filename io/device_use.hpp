// One use of a block device, in words and with the way to end it. See device_usage.hpp.
//
// Texts carry names as they are; whoever prints them escapes them. Remedies quote for a shell.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "io/device_inventory.hpp"

namespace io {

enum class DeviceUseKind : std::uint8_t {
  system_disk,
  mounted,
  swap,
  lvm,        // an active logical volume
  crypt,      // unlocked
  multipath,  // a path of a multipath disk
  mapper,     // another device-mapper device
  raid,       // in a running md array
  bcache,
  loop,         // shown by a loop device
  held,         // stacked on by something else
  holds_image,  // the image to be written lies on it, or it on the image
  read_only,
  open_for_writing,  // by a process
};
std::string_view to_string(DeviceUseKind kind);

struct DeviceUse {
  DeviceUseKind kind = DeviceUseKind::held;
  // The mount point(s), "vg0/data", "/dev/md0", "/dev/loop3", the image, "qemu-kvm (pid 812)".
  std::string detail;
  // From the device in question up to what is used: {"/dev/sdb", "/dev/sdb1", "vg0/data"}.
  std::vector<std::string> stack;
  // A shell command that ends this use, or advice in words; "" when there is neither.
  std::string remedy;

  // One phrase after the device's name: "mounted on /srv (through /dev/sdb1, vg0/data)".
  [[nodiscard]] std::string phrase() const;
  friend bool operator==(const DeviceUse&, const DeviceUse&) = default;
};

// How people call it: "vg0/data", "/dev/mapper/NAME", else its path.
std::string device_label(const BlockDevice& device);

// What it means for a device that `holder` is stacked on it.
DeviceUseKind use_by(const BlockDevice& holder);
// The shell command that takes a holder off what it is stacked on; "" when there is none.
std::string release_command(const BlockDevice& holder);

// `text` as one word of a shell command.
std::string shell_word(const std::string& text);
std::string joined(const std::vector<std::string>& texts, std::string_view separator);

}  // namespace io
