#include "io/devices/storage_stack.hpp"

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>

namespace io {
namespace {

// The kernel's own packing of a device number in struct loop_info64.
dev_t decode_device(std::uint64_t packed) {
  return makedev(static_cast<unsigned>((packed & 0xfff00) >> 8),
                 static_cast<unsigned>((packed & 0xff) | ((packed >> 12) & 0xfff00)));
}

struct LoopAnswer {
  bool known = false;
  std::optional<FileIdentity> file;  // nothing: it is not attached
};

// Better than the path in sysfs: it holds after a rename and across mount namespaces, but it
// takes the right to open the device.
LoopAnswer ask_loop(const std::string& path) {
  const FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  loop_info64 info = {};
  if (!fd) return {};
  if (::ioctl(fd.get(), LOOP_GET_STATUS64, &info) != 0) return {errno == ENXIO, std::nullopt};
  if (info.lo_rdevice != 0) {
    return {true, FileIdentity{true, decode_device(info.lo_rdevice), 0}};
  }
  return {true, FileIdentity{false, decode_device(info.lo_device), info.lo_inode}};
}

}  // namespace

bool Foundation::has(const FileIdentity& identity) const {
  if (!identity.block_device) {
    return files.contains({identity.device, identity.inode});
  }
  for (const BlockDevice* device : devices) {
    if (device->number == identity.device) {
      return true;
    }
  }
  return false;
}

StorageStack::StorageStack(const DeviceInventory& inventory)
    : inventory_(inventory),
      mounts_(read_mounts(inventory.roots())),
      swaps_(read_swaps(inventory.roots())) {
  for (const BlockDevice& device : inventory_.devices()) {
    const bool may_be_attached = device.kind == DeviceKind::loop && !device.doubt.empty();
    if (device.backing_file || may_be_attached) {
      const LoopAnswer answer = ask_loop(device.path);
      auto file = answer.file;
      if (!file && device.backing_file) {
        file = identity(inventory_.roots().in_dev(*device.backing_file));
      } else if (!answer.known && !device.backing_file) {
        loops_on_anything_.push_back(&device);
      }
      if (file) {
        backing_.emplace(&device, *file);
      }
    }
  }
  const std::string folder = inventory_.roots().sys + "/fs/btrfs/";
  for (const std::string& file_system : names_in(folder)) {
    std::set<const BlockDevice*> members;
    for (const std::string& name : names_in(folder + file_system + "/devices")) {
      if (const BlockDevice* device = inventory_.find_name(name)) {
        members.insert(device);
      }
    }
    btrfs_.push_back(std::move(members));
  }
}

std::optional<FileIdentity> StorageStack::identity(const std::string& path) const {
  if (const BlockDevice* device = inventory_.find_path(path)) {
    return FileIdentity{true, device->number, 0};
  }
  struct stat status = {};
  if (::stat(path.c_str(), &status) != 0) {
    throw_if_unknown("stat", path);
    return std::nullopt;
  }
  if (S_ISBLK(status.st_mode)) {
    return FileIdentity{true, status.st_rdev, 0};
  }
  return FileIdentity{false, status.st_dev, status.st_ino};
}

std::optional<FileIdentity> StorageStack::backing(const BlockDevice& loop) const {
  const auto found = backing_.find(&loop);
  return found == backing_.end() ? std::nullopt : std::optional(found->second);
}

bool StorageStack::show_same_bytes(const BlockDevice& a, const BlockDevice& b) const {
  const auto shown = [](const BlockDevice& loop) {
    return ByteRange{loop.backing_offset, loop.size_bytes};
  };
  const auto below_a = backing(a);
  const auto below_b = backing(b);
  if (below_a && below_b && *below_a == *below_b) {
    return !intersection(shown(a), shown(b)).empty();
  }
  return (below_a && *below_a == FileIdentity{true, b.number, 0}) ||
         (below_b && *below_b == FileIdentity{true, a.number, 0});
}

// A device as a mount's source names it: by node, or, where /dev lacks that node (containers),
// by the name that the kernel or device-mapper has for it.
const BlockDevice* StorageStack::device_called(const std::string& source) const {
  if (source == "/dev/root") {
    return boot_root();
  }
  if (!source.starts_with("/dev/")) {
    return nullptr;
  }
  if (const BlockDevice* device = inventory_.find_path(inventory_.roots().in_dev(source))) {
    return device;
  }
  const std::string name = source.substr(5);
  if (const BlockDevice* device = inventory_.find_name(name)) {
    return device;
  }
  for (const BlockDevice& device : inventory_.devices()) {
    const MapperInfo& mapper = device.mapper;
    if (mapper.kind != MapperKind::none &&
        (name == "mapper/" + mapper.name ||
         name == mapper.volume_group + "/" + mapper.logical_volume)) {
      return &device;
    }
  }
  return nullptr;
}

// What the kernel mounted as / by itself: "root=" on its command line.
const BlockDevice* StorageStack::boot_root() const {
  const std::string line = read_text(inventory_.roots().proc + "/cmdline");
  for (const std::string_view word : split(line, ' ')) {
    if (!word.starts_with("root=")) {
      continue;
    }
    const std::string value(word.substr(5));
    if (value.starts_with("/dev/") && value != "/dev/root") {
      return device_called(value);
    }
    for (const auto& [tag, folder] : {std::pair{"UUID=", "by-uuid/"},
                                      {"PARTUUID=", "by-partuuid/"},
                                      {"LABEL=", "by-label/"},
                                      {"PARTLABEL=", "by-partlabel/"}}) {
      if (value.starts_with(tag)) {
        const std::string name = value.substr(std::string_view(tag).size());
        return inventory_.find_path(inventory_.roots().dev + "/disk/" + folder + name);
      }
    }
  }
  return nullptr;
}

void StorageStack::add_btrfs_members(std::set<const BlockDevice*>& devices) const {
  for (const auto& members : btrfs_) {
    for (const BlockDevice* member : members) {
      if (devices.contains(member)) {
        devices.insert(members.begin(), members.end());
        break;
      }
    }
  }
}

std::set<const BlockDevice*> StorageStack::devices_of(const Mount& mount) const {
  std::set<const BlockDevice*> devices;
  const auto add = [&](const BlockDevice* device) {
    if (device != nullptr) {
      devices.insert(device);
    }
  };
  if (major(mount.device) != 0) {
    add(inventory_.find(mount.device));
  } else if (mount.source.starts_with("/")) {
    add(device_called(mount.source));
    for (const std::string_view part : split(mount.source, ':')) {  // bcachefs: /dev/a:/dev/b
      add(device_called(std::string(part)));
    }
    add_btrfs_members(devices);
  }
  for (const char* key : {"logdev", "rtdev", "journal_path"}) {  // XFS and ext4 outside the disk
    for (const std::string& path : mount.option_values(key)) {
      add(device_called(path));
    }
  }
  return devices;
}

void StorageStack::add_mount(const Mount& mount, Foundation& found, int depth) const {
  for (const BlockDevice* device : devices_of(mount)) {
    add_device(*device, found);
  }
  constexpr int deepest_overlay = 4;  // the kernel allows 2
  if (mount.type != "overlay" || depth > deepest_overlay) {
    return;
  }
  for (const char* key : {"upperdir", "lowerdir"}) {
    for (const std::string& folders : mount.option_values(key)) {
      for (const std::string_view folder : split(folders, ':')) {
        const Mount* layer = mount_of(std::string(folder), mounts_, inventory_.roots());
        if (layer != nullptr && layer != &mount) {
          add_mount(*layer, found, depth + 1);
        }
      }
    }
  }
}

void StorageStack::add_file(const FileIdentity& file, const std::string& path,
                            Foundation& found) const {
  if (!found.files.insert({file.device, file.inode}).second) {
    return;
  }
  // The path may be gone, or mean another file in our mount namespace.
  if (identity(path) == file) {
    if (const Mount* mount = mount_of(path, mounts_, inventory_.roots())) {
      add_mount(*mount, found, 0);
      return;
    }
  }
  if (const BlockDevice* device = inventory_.find(file.device)) {
    add_device(*device, found);
  }
}

void StorageStack::add_device(const BlockDevice& device, Foundation& found) const {
  if (!found.devices.insert(&device).second) {
    return;
  }
  if (const BlockDevice* parent = inventory_.find_name(device.parent)) {
    add_device(*parent, found);
  }
  for (const std::string& name : device.slaves) {
    if (const BlockDevice* slave = inventory_.find_name(name)) {
      add_device(*slave, found);
    }
  }
  if (const auto file = backing(device)) {
    if (file->block_device) {
      if (const BlockDevice* below_loop = inventory_.find(file->device)) {
        add_device(*below_loop, found);
      }
    } else {
      add_file(*file, device.backing_file.value_or(""), found);
    }
  }
}

Foundation StorageStack::below(const BlockDevice& device) const {
  Foundation found;
  add_device(device, found);
  return found;
}

Foundation StorageStack::below(const Mount& mount) const {
  Foundation found;
  add_mount(mount, found, 0);
  return found;
}

Foundation StorageStack::below(const std::string& path) const {
  Foundation found;
  if (const BlockDevice* device = inventory_.find_path(path)) {
    add_device(*device, found);
  } else if (const auto file = identity(path)) {
    add_file(*file, path, found);
  }
  return found;
}

bool StorageStack::share_storage(const std::string& a, const std::string& b) const {
  const auto identity_a = identity(a);
  const auto identity_b = identity(b);
  if (!identity_a || !identity_b) {
    return false;
  }
  const BlockDevice* device_a = inventory_.find_path(a);
  const BlockDevice* device_b = inventory_.find_path(b);
  return identity_a == identity_b || below(a).has(*identity_b) || below(b).has(*identity_a) ||
         (device_a != nullptr && device_b != nullptr && show_same_bytes(*device_a, *device_b));
}

}  // namespace io
