// What lies on what: from a file or a device down to the disks below it, through mounts,
// partitions, LVM, md, multipath, loop devices, btrfs and overlay.
//
// A snapshot, like the DeviceInventory it refers to, which must outlive it. Attached loop devices
// are opened read-only to ask for their file; nothing else is. What cannot be known (a network
// file system, ZFS, another mount namespace's paths) has nothing below it.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "io/devices/device_inventory.hpp"
#include "io/devices/mount_table.hpp"
#include "io/file.hpp"

namespace io {

// Everything that something lies on, itself included.
struct Foundation {
  std::set<const BlockDevice*> devices;
  std::set<std::pair<dev_t, ino_t>> files;  // (file system, inode)

  [[nodiscard]] bool has(const FileIdentity& identity) const;
};

class StorageStack {
 public:
  explicit StorageStack(const DeviceInventory& inventory);

  [[nodiscard]] const DeviceInventory& inventory() const noexcept { return inventory_; }
  [[nodiscard]] const std::vector<Mount>& mounts() const noexcept { return mounts_; }
  // Active swap, as procfs spells it.
  [[nodiscard]] const std::vector<std::string>& swaps() const noexcept { return swaps_; }

  // A device by its number, else a file by its inode; nothing when the path leads nowhere.
  [[nodiscard]] std::optional<FileIdentity> identity(const std::string& path) const;
  // What a loop device shows; nothing for other devices and detached ones.
  [[nodiscard]] std::optional<FileIdentity> backing(const BlockDevice& loop) const;
  // Loop devices that may show any file or device: neither sysfs nor the device tells which.
  [[nodiscard]] const std::vector<const BlockDevice*>& loops_on_anything() const noexcept {
    return loops_on_anything_;
  }
  // Whether two devices show the same bytes of a file or a device, all or some: two loop devices,
  // or one and the device that it shows.
  [[nodiscard]] bool show_same_bytes(const BlockDevice& a, const BlockDevice& b) const;
  // The devices that a mounted file system is on, all of them for btrfs.
  [[nodiscard]] std::set<const BlockDevice*> devices_of(const Mount& mount) const;

  [[nodiscard]] Foundation below(const BlockDevice& device) const;
  [[nodiscard]] Foundation below(const Mount& mount) const;
  [[nodiscard]] Foundation below(const std::string& path) const;

  // Whether writing to one changes the other: the same bytes, or one lies on the other. Two
  // partitions of a disk, or two files on it, do not share anything.
  [[nodiscard]] bool share_storage(const std::string& a, const std::string& b) const;

 private:
  void add_device(const BlockDevice& device, Foundation& found) const;
  void add_file(const FileIdentity& file, const std::string& path, Foundation& found) const;
  void add_mount(const Mount& mount, Foundation& found, int depth) const;
  [[nodiscard]] const BlockDevice* device_called(const std::string& source) const;
  [[nodiscard]] const BlockDevice* boot_root() const;
  void add_btrfs_members(std::set<const BlockDevice*>& devices) const;

  const DeviceInventory& inventory_;
  std::vector<Mount> mounts_;
  std::vector<std::string> swaps_;
  std::map<const BlockDevice*, FileIdentity> backing_;
  std::vector<const BlockDevice*> loops_on_anything_;
  std::vector<std::set<const BlockDevice*>> btrfs_;  // the members of each btrfs that is in use
};

}  // namespace io
