// The block devices of this machine, as sysfs tells: no libudev, no lsblk, kernel 3.10 and up.
//
// A DeviceInventory is a snapshot: devices that come or go later are not in it. It reads /sys,
// /dev/disk/by-id and, where it exists, udev's database in /run/udev; it opens no device, so it
// needs no privilege. Reading what is missing gives empty fields, never an error; what cannot be
// found out of one device is a doubt about that device. Names and
// serial numbers are what hardware and other programs made up: escape them before showing them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

#include "io/devices/system_roots.hpp"

namespace io {

enum class DeviceKind : std::uint8_t {
  disk,
  partition,
  loop,
  device_mapper,
  raid,  // md
  bcache,
  optical,
  floppy,
  memory,   // zram, brd
  network,  // nbd, rbd, drbd
  other,    // mmc boot areas, zvols
};
std::string_view to_string(DeviceKind kind);

enum class MapperKind : std::uint8_t { none, lvm, crypt, multipath, partition, other };
std::string_view to_string(MapperKind kind);

// What device-mapper knows. Empty unless the kind is device_mapper.
struct MapperInfo {
  MapperKind kind = MapperKind::none;
  std::string name;  // as in /dev/mapper
  std::string uuid;
  std::string volume_group;    // LVM, dashes un-doubled
  std::string logical_volume;  // LVM
  std::string layer;           // LVM's own parts of a volume: "real", "cow", "tpool"; else ""
};

struct BlockDevice {
  std::string name;  // the kernel's: sda, nvme0n1p2, cciss!c0d0
  std::string path;  // /dev/NAME
  dev_t number = 0;
  DeviceKind kind = DeviceKind::other;
  std::string sysfs;      // its folder, without links
  std::string transport;  // usb sata nvme scsi sas fc iscsi virtio mmc xen loop ...; "" unknown

  std::uint64_t size_bytes = 0;  // 0: no medium, or a loop device without a file
  std::uint32_t logical_sector_bytes = 512;
  std::uint32_t physical_sector_bytes = 512;
  bool removable = false;
  bool read_only = false;
  bool rotational = false;

  std::string model;
  std::string serial;                      // the one to show
  std::vector<std::string> other_serials;  // the same disk's, by other ways of asking
  std::string wwn;                         // 0x5002538e00000000, eui.0025385…
  std::vector<std::string> links;  // stable names, best first: by-id, /dev/VG/LV, /dev/mapper
  std::string port;                // where it is plugged in: udev's by-path name, or "usb-1-2.3"

  std::string parent;                   // of a partition: the disk's kernel name
  std::uint64_t start_bytes = 0;        // of a partition, on its disk
  std::vector<std::string> partitions;  // kernel names, by number
  std::vector<std::string> holders;     // kernel names of what is stacked on it (dm, md, bcache)
  std::vector<std::string> slaves;      // kernel names of what it is stacked on
  MapperInfo mapper;
  std::string raid_level;                   // md: "raid1"
  std::uint64_t backing_offset = 0;         // of a loop device: where in it its first byte is
  std::optional<std::string> backing_file;  // of a loop device; " (deleted)" at the end is ours

  // Why fields of it may be missing or wrong, `number` too, which is 0 then: what could not be
  // read, and the error. "": everything is known. For messages.
  std::string doubt;

  [[nodiscard]] std::string stable_path() const { return links.empty() ? path : links.front(); }
  // Whether `text` is one of its serial numbers or its WWN, whatever the case and spacing.
  [[nodiscard]] bool has_serial(std::string_view text) const;
};

// What the device's queue takes; of a partition, its disk's. Bytes. Nothing: the kernel does
// not say (it is too old, or this kind of device has no queue).
struct QueueLimits {
  std::optional<std::uint64_t> request_count;  // nr_requests
  std::optional<std::uint64_t> max_request_bytes;
  std::optional<std::uint64_t> minimum_io_bytes;
  std::optional<std::uint64_t> optimal_io_bytes;  // 0 means no preference
  std::optional<std::uint64_t> discard_granularity;
  std::optional<std::uint64_t> discard_max_bytes;       // 0: no discard
  std::optional<std::uint64_t> write_zeroes_max_bytes;  // 0: zeros are written out
  std::string scheduler;                                // the active one: "none", "mq-deadline"
  std::string zoned;                                    // "none", "host-aware", "host-managed"
  bool write_cache = false;
};

// What a device was asked for since it came, a disk's with those of its partitions.
struct Activity {
  std::uint64_t writes = 0;     // requests that ended
  std::uint64_t in_flight = 0;  // requests that did not end yet, of any kind
};

class DeviceInventory {
 public:
  explicit DeviceInventory(SystemRoots roots = {});

  [[nodiscard]] const SystemRoots& roots() const noexcept { return roots_; }
  // Disks before what is on them, sda before sdb before sdaa.
  [[nodiscard]] const std::vector<BlockDevice>& devices() const noexcept { return devices_; }

  [[nodiscard]] const BlockDevice* find(dev_t number) const;
  [[nodiscard]] const BlockDevice* find_name(std::string_view kernel_name) const;
  // By any path or link that leads to its node.
  [[nodiscard]] const BlockDevice* find_path(const std::string& path) const;
  // The disk of a partition; any other device itself.
  [[nodiscard]] const BlockDevice& whole(const BlockDevice& device) const;
  [[nodiscard]] QueueLimits queue_limits(const BlockDevice& device) const;
  // As they are now. Nothing: the kernel does not say.
  [[nodiscard]] std::optional<Activity> activity(const BlockDevice& device) const;

 private:
  void scan_disk(const std::string& name);
  void scan_details(BlockDevice& device) const;
  void scan_partitions(const BlockDevice& disk);
  void add_links();
  void add_ports();

  SystemRoots roots_;
  std::vector<BlockDevice> devices_;
  std::map<std::string, std::size_t, std::less<>> by_name_;
  std::map<dev_t, std::size_t> by_number_;
};

// sda < sdb < sdaa, nvme2n1 < nvme10n1.
bool device_name_less(std::string_view a, std::string_view b);

}  // namespace io
