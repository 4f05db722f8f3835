// The storage of the host that the domains run on: which names lead to the same bytes, which name
// lasts, and who uses a disk besides libvirt.
//
// A snapshot of this machine. With a connection to another host nothing can be looked at; names are
// then all there is, and callers have to say so.
#pragma once

#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "imgtool/virt/disk_source.hpp"
#include "imgtool/virt/host_device.hpp"
#include "io/devices/device_usage.hpp"
#include "io/file.hpp"

namespace imgtool::virt {

// What a disk is made from, whatever name led to it.
struct Identity {
  std::optional<io::FileIdentity> file;  // on this host
  std::string name;  // of the network, of another host; or a path that leads nowhere
  std::string path;  // of `file`
};

// A name that will mean the same device after a restart of the host.
struct LastingName {
  std::string path;
  bool lasts = true;
};

// This host's devices and who uses them.
struct HostSnapshot {
  explicit HostSnapshot(io::SystemRoots roots) : inventory(std::move(roots)), usage(inventory) {}
  HostSnapshot(const HostSnapshot&) = delete;  // one part refers to the other

  io::DeviceInventory inventory;
  io::DeviceUsage usage;
};

// Takes the snapshot on a thread of its own: that takes as long as libvirt's first answers do.
using HostScan = std::future<std::unique_ptr<const HostSnapshot>>;
HostScan scan_host(io::SystemRoots roots = {});

class HostStorage {
 public:
  // The path of a volume; nothing when there is no such volume.
  using VolumePath =
      std::function<std::optional<std::string>(const std::string& pool, const std::string& volume)>;

  // Without a scan: another host's. What went wrong in the scan is thrown by the first question.
  HostStorage(std::optional<HostScan> scan, VolumePath volume_path);

  [[nodiscard]] bool remote() const noexcept { return !scan_; }

  [[nodiscard]] Identity identity(const DiskSource& source) const;
  [[nodiscard]] Identity identity(const std::string& path) const;
  // Whether writing to one changes the other: the same, a part of it, or stored on it.
  [[nodiscard]] bool share(const Identity& a, const Identity& b) const;

  // The disks that are gone from this host, or not its own any more, when a guest has `device`.
  [[nodiscard]] std::vector<Identity> disks_on(const HostDevice& device) const;

  // A block device's name, in place of sdb, dm-3 or a relative link. Throws io::Error (refused)
  // where there is only a number that changes.
  [[nodiscard]] LastingName lasting_name(const std::string& path) const;

  // Why the device or file at `path` should not be given to a guest, besides what libvirt knows.
  [[nodiscard]] std::vector<io::DeviceUse> uses(const std::string& path) const;
  // Whether that use goes through a device that is read-only, and so changes nothing.
  [[nodiscard]] bool only_reads(const io::DeviceUse& use) const;

 private:
  [[nodiscard]] const HostSnapshot& snapshot() const;
  [[nodiscard]] const io::DeviceInventory& inventory() const { return snapshot().inventory; }
  [[nodiscard]] const io::DeviceUsage& usage() const { return snapshot().usage; }

  VolumePath volume_path_;
  mutable std::optional<HostScan> scan_;
  mutable std::unique_ptr<const HostSnapshot> snapshot_;  // once it was asked for
};

// Whether a running QEMU has the image open in a way that excludes another user, by the locks that
// it holds on bytes of the file (100 and up: what it does; 200 and up: what it bears from others).
bool locked_by_qemu(const std::string& path, bool for_writing);

// Whether something in the kernel holds the block device exclusively.
bool held_by_kernel(const std::string& path);

}  // namespace imgtool::virt
