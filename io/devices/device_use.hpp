// One use of a block device, and the steps that end it. See device_usage.hpp.
//
// Facts only, names as they are: imgtool/jobs/device_words.hpp says them to people.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/devices/device_inventory.hpp"

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
  unknown,           // cannot be told: of it, or of what is stacked on it
};
std::string_view to_string(DeviceUseKind kind);

// What has to be done with an object to take it off the devices below it.
enum class ReleaseKind : std::uint8_t {
  unmount,       // a mount point
  swap_off,      // an active swap device or file
  loop,          // a loop device, by its path
  raid,          // an md array, by its path
  bcache,        // a bcache device, by its folder in sysfs
  bcache_set,    // the cache set of a cache device, by that device's folder in sysfs
  volume_group,  // an LVM volume group whose volumes are active
  crypt,         // an unlocked volume, by its mapper name
  multipath,     // a multipath disk, by its mapper name
  mapper,        // another device-mapper device, by its name
};

struct ReleaseStep {
  ReleaseKind kind = ReleaseKind::unmount;
  std::string object;
  friend bool operator==(const ReleaseStep&, const ReleaseStep&) = default;
};

struct DeviceUse {
  DeviceUseKind kind = DeviceUseKind::held;
  // The mount point(s), "vg0/data", "/dev/md0", "/dev/loop3", the image, "qemu-kvm (pid 812)",
  // what could not be read; empty for a disk that caches for bcache.
  std::string detail;
  // From the device in question up to what is used: {"/dev/sdb", "/dev/sdb1", "vg0/data"}.
  std::vector<std::string> stack;
  // In the order in which they end this use; empty when no step is known to.
  std::vector<ReleaseStep> release{};

  friend bool operator==(const DeviceUse&, const DeviceUse&) = default;
};

// How people call it: "vg0/data", "/dev/mapper/NAME", else its path.
std::string device_label(const BlockDevice& device);

// What it means for a device that `holder` is stacked on it.
DeviceUseKind use_by(const BlockDevice& holder);
// What takes a holder off what it is stacked on; nothing when that is not known.
std::optional<ReleaseStep> release_of(const BlockDevice& holder);

}  // namespace io
