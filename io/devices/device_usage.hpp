// Who uses a block device, and why it must not be written to.
//
// The policy, whole: a target is refused when it, one of its partitions or anything stacked on
// these (dm, LVM, md, bcache, loop, to any height) is mounted, is swap, or is active; when it
// is a path of a multipath disk or a partition of a disk that is held whole; when it lies below
// the running system; when the image lies on it, or it on the image; when it is read-only; when
// another process has it open for writing; when any of this cannot be found out of it or of what is
// stacked on it. A doubt about another device (BlockDevice::doubt) is none about the target, but
// for loop devices of which nothing tells what they show. What this cannot see (other mount
// namespaces, ZFS, drbd) the kernel may still know: open with O_EXCL as well.
//
// "The running system" is what lies below the mounts / /usr /boot /boot/efi /efi /var /home and
// below active swap: disks, all partitions of these disks, and the LVM, md and dm devices in
// between. Another logical volume of the system's volume group is not: it may be written.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "io/devices/device_use.hpp"
#include "io/devices/storage_stack.hpp"

namespace io {

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
  // The same, but for programs that look at all disks (losetup, partitioners) and have it open for
  // a moment: waits up to 300 ms for them.
  [[nodiscard]] std::vector<DeviceUse> lasting_reasons_not_to_write(
      const std::string& target, const std::vector<std::string>& images = {}) const;

 private:
  class Walk;

  void add_uses_of_same_bytes(const BlockDevice& device, std::vector<DeviceUse>& uses) const;
  void add_loops_on_anything(const std::string& label, std::vector<DeviceUse>& uses) const;

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
