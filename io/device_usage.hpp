// Who uses a block device, and why it must not be written to.
//
// The policy, whole: a target is refused when it, one of its partitions or anything stacked on
// these (dm, LVM, md, bcache, loop, to any height) is mounted, is swap, or is active; when it
// is a path of a multipath disk or a partition of a disk that is held whole; when it lies below
// the running system; when the image lies on it, or it on the image; when it is read-only; when
// another process has it open for writing. What this cannot see (other mount namespaces, ZFS,
// drbd) the kernel may still know: open with O_EXCL as well.
//
// "The running system" is what lies below the mounts / /usr /boot /boot/efi /efi /var /home and
// below active swap: disks, all partitions of these disks, and the LVM, md and dm devices in
// between. Another logical volume of the system's volume group is not: it may be written.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "io/storage_stack.hpp"

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

class DeviceUsage {
 public:
  // The inventory must outlive this.
  explicit DeviceUsage(const DeviceInventory& inventory);

  [[nodiscard]] const StorageStack& stack() const noexcept { return stack_; }

  // The uses of a device, of its partitions and of all that is stacked on these; the system's
  // first. One entry for each end of the stack: a mounted volume is "mounted", with the stack
  // that leads to it.
  [[nodiscard]] std::vector<DeviceUse> uses(const BlockDevice& device) const;
  [[nodiscard]] bool is_system(const BlockDevice& device) const;

  // For a target (a device or a file) that `images` are to be written to. Empty: go ahead.
  // Reads every process's descriptors, so it takes a few milliseconds.
  [[nodiscard]] std::vector<DeviceUse> reasons_not_to_write(
      const std::string& target, const std::vector<std::string>& images = {}) const;

  // The whole disks (and other devices at the bottom) that a file lies on.
  [[nodiscard]] std::vector<const BlockDevice*> disks_below(const std::string& path) const;

 private:
  class Walk;

  void find_mounts();
  void find_swaps();
  void find_system();
  [[nodiscard]] std::vector<DeviceUse> uses_of_file(const std::string& path) const;

  const DeviceInventory& inventory_;
  StorageStack stack_;
  std::map<const BlockDevice*, std::vector<std::string>> mount_points_;
  std::map<const BlockDevice*, std::string> swap_paths_;
  std::map<const BlockDevice*, std::vector<const BlockDevice*>> loops_on_;
  std::map<const BlockDevice*, std::vector<std::string>> system_;  // and what of the system
};

}  // namespace io
