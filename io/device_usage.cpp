#include "io/device_usage.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <array>

#include "io/device_openers.hpp"

namespace io {
namespace {

constexpr std::array<std::string_view, 7> system_mount_points = {
    "/", "/usr", "/boot", "/boot/efi", "/efi", "/var", "/home"};

void add_once(std::vector<std::string>& texts, const std::string& text) {
  if (std::find(texts.begin(), texts.end(), text) == texts.end()) {
    texts.push_back(text);
  }
}

std::string joined(const std::vector<std::string>& texts, std::string_view separator) {
  std::string result;
  for (const std::string& text : texts) {
    result += result.empty() ? text : std::string(separator) + text;
  }
  return result;
}

// As one word of a shell command.
std::string quoted(const std::string& text) {
  constexpr std::string_view plain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+:@%,=";
  if (!text.empty() && text.find_first_not_of(plain) == std::string::npos) {
    return text;
  }
  std::string result = "'";
  for (const char c : text) {
    result += c == '\'' ? "'\\''" : std::string(1, c);
  }
  return result + "'";
}

DeviceUseKind kind_as_holder(const BlockDevice& holder) {
  switch (holder.kind) {
    case DeviceKind::loop:
      return DeviceUseKind::loop;
    case DeviceKind::raid:
      return DeviceUseKind::raid;
    case DeviceKind::bcache:
      return DeviceUseKind::bcache;
    case DeviceKind::device_mapper:
      break;
    default:
      return DeviceUseKind::held;
  }
  switch (holder.mapper.kind) {
    case MapperKind::lvm:
      return DeviceUseKind::lvm;
    case MapperKind::crypt:
      return DeviceUseKind::crypt;
    case MapperKind::multipath:
      return DeviceUseKind::multipath;
    default:
      return DeviceUseKind::mapper;
  }
}

// The command that takes a holder off what it is stacked on.
std::string release_command(const BlockDevice& holder) {
  switch (kind_as_holder(holder)) {
    case DeviceUseKind::loop:
      return "losetup -d " + quoted(holder.path);
    case DeviceUseKind::raid:
      return "mdadm --stop " + quoted(holder.path);
    case DeviceUseKind::bcache:
      return "echo 1 > " + quoted(holder.sysfs + "/bcache/stop");
    case DeviceUseKind::lvm:
      return "vgchange -an " + quoted(holder.mapper.volume_group);
    case DeviceUseKind::crypt:
      return "cryptsetup close " + quoted(holder.mapper.name);
    case DeviceUseKind::multipath:
      return "multipath -f " + quoted(holder.mapper.name);
    case DeviceUseKind::mapper:
      return "dmsetup remove " + quoted(holder.mapper.name);
    default:
      return "";
  }
}

}  // namespace

std::string_view to_string(DeviceUseKind kind) {
  switch (kind) {
    case DeviceUseKind::system_disk:
      return "system_disk";
    case DeviceUseKind::mounted:
      return "mounted";
    case DeviceUseKind::swap:
      return "swap";
    case DeviceUseKind::lvm:
      return "lvm";
    case DeviceUseKind::crypt:
      return "crypt";
    case DeviceUseKind::multipath:
      return "multipath";
    case DeviceUseKind::mapper:
      return "mapper";
    case DeviceUseKind::raid:
      return "raid";
    case DeviceUseKind::bcache:
      return "bcache";
    case DeviceUseKind::loop:
      return "loop";
    case DeviceUseKind::held:
      return "held";
    case DeviceUseKind::holds_image:
      return "holds_image";
    case DeviceUseKind::read_only:
      return "read_only";
    case DeviceUseKind::open_for_writing:
      return "open_for_writing";
  }
  return "held";
}

std::string device_label(const BlockDevice& device) {
  const MapperInfo& mapper = device.mapper;
  if (mapper.kind == MapperKind::lvm && !mapper.volume_group.empty()) {
    const std::string volume = mapper.volume_group + "/" + mapper.logical_volume;
    return mapper.layer.empty() ? volume : volume + "-" + mapper.layer;
  }
  return mapper.name.empty() ? device.path : "/dev/mapper/" + mapper.name;
}

std::string DeviceUse::phrase() const {
  std::string text;
  switch (kind) {
    case DeviceUseKind::system_disk:
      return "part of the running system (" + detail + ")";
    case DeviceUseKind::mounted:
      text = "mounted on " + detail;
      break;
    case DeviceUseKind::swap:
      text = "in use as swap";
      break;
    case DeviceUseKind::lvm:
      text = "in use by the active logical volume " + detail;
      break;
    case DeviceUseKind::crypt:
      text = "unlocked as " + detail;
      break;
    case DeviceUseKind::multipath:
      text = "a path of the multipath disk " + detail;
      break;
    case DeviceUseKind::mapper:
      text = "in use by the device-mapper device " + detail;
      break;
    case DeviceUseKind::raid:
      text = "in use by the RAID array " + detail;
      break;
    case DeviceUseKind::bcache:
      text = "in use by bcache as " + detail;
      break;
    case DeviceUseKind::loop:
      text = "shown by the loop device " + detail;
      break;
    case DeviceUseKind::held:
      text = "held by " + detail;
      break;
    case DeviceUseKind::holds_image:
      return "where the image " + detail + " is stored";
    case DeviceUseKind::read_only:
      return "read-only";
    case DeviceUseKind::open_for_writing:
      return "open for writing by " + detail;
  }
  // The end of the stack is in the text unless it is a mount or swap.
  const bool end_named = kind != DeviceUseKind::mounted && kind != DeviceUseKind::swap;
  if (stack.size() > (end_named ? 2 : 1)) {
    const auto end = end_named ? stack.end() - 1 : stack.end();
    text += " (through " + joined({stack.begin() + 1, end}, ", ") + ")";
  }
  return text;
}

// --- one walk from a device up to all that uses it --------------------------------------

class DeviceUsage::Walk {
 public:
  explicit Walk(const DeviceUsage& usage) : usage_(usage) {}

  std::vector<DeviceUse> run(const BlockDevice& device) {
    visit(device, true);
    if (const BlockDevice* parent = usage_.inventory_.find_name(device.parent)) {
      path_.clear();
      visit(*parent, false);  // a disk that is held whole holds its partitions
    }
    return std::move(found_);
  }

 private:
  void visit(const BlockDevice& device, bool with_partitions) {
    if (std::find(path_.begin(), path_.end(), &device) != path_.end()) {
      return;  // a loop device over itself, through a file
    }
    path_.push_back(&device);
    add_own(device);
    for (const BlockDevice* holder : holders(device)) {
      const std::size_t before = reached_;
      visit(*holder, true);
      if (reached_ == before) {
        path_.push_back(holder);
        add(kind_as_holder(*holder), device_label(*holder), "");
        path_.pop_back();
      }
    }
    if (with_partitions) {
      for (const std::string& name : device.partitions) {
        if (const BlockDevice* partition = usage_.inventory_.find_name(name)) {
          visit(*partition, false);
        }
      }
    }
    path_.pop_back();
  }

  void add_own(const BlockDevice& device) {
    if (const auto mounts = usage_.mount_points_.find(&device);
        mounts != usage_.mount_points_.end()) {
      for (const std::string& mount_point : mounts->second) {
        add(DeviceUseKind::mounted, mount_point, "umount " + quoted(mount_point));
      }
    }
    if (const auto swap = usage_.swap_paths_.find(&device); swap != usage_.swap_paths_.end()) {
      add(DeviceUseKind::swap, swap->second, "swapoff " + quoted(swap->second));
    }
    const bool cache = (device.kind == DeviceKind::disk || device.kind == DeviceKind::partition) &&
                       device.holders.empty() && exists(device.sysfs + "/bcache");
    if (cache) {
      add(DeviceUseKind::bcache, "a cache device",
          "echo 1 > " + quoted(device.sysfs + "/bcache/set/stop"));
    }
  }

  std::vector<const BlockDevice*> holders(const BlockDevice& device) const {
    std::vector<const BlockDevice*> result;
    for (const std::string& name : device.holders) {
      if (const BlockDevice* holder = usage_.inventory_.find_name(name)) {
        result.push_back(holder);
      }
    }
    if (const auto loops = usage_.loops_on_.find(&device); loops != usage_.loops_on_.end()) {
      result.insert(result.end(), loops->second.begin(), loops->second.end());
    }
    return result;
  }

  // `first_step` frees the end of the path; what is below it is then taken apart downwards.
  void add(DeviceUseKind kind, std::string detail, const std::string& first_step) {
    ++reached_;
    DeviceUse use;
    use.kind = kind;
    use.detail = std::move(detail);
    std::vector<std::string> steps;
    if (!first_step.empty()) {
      steps.push_back(first_step);
    }
    for (std::size_t i = path_.size(); i-- > 0;) {
      use.stack.insert(use.stack.begin(), device_label(*path_[i]));
      const std::string step = i > 0 ? release_command(*path_[i]) : "";
      if (!step.empty()) {
        add_once(steps, step);
      }
    }
    use.remedy = joined(steps, " && ");
    // Two legs of one RAID lead to the same end: the first way there is enough.
    const bool known = std::any_of(found_.begin(), found_.end(), [&](const DeviceUse& other) {
      return other.kind == use.kind && other.detail == use.detail &&
             other.stack.back() == use.stack.back();
    });
    if (!known) {
      found_.push_back(std::move(use));
    }
  }

  const DeviceUsage& usage_;
  std::vector<const BlockDevice*> path_;
  std::vector<DeviceUse> found_;
  std::size_t reached_ = 0;
};

// --- what is known at the start -----------------------------------------------------------

DeviceUsage::DeviceUsage(const DeviceInventory& inventory)
    : inventory_(inventory), stack_(inventory) {
  for (const BlockDevice& device : inventory_.devices()) {
    const auto file = stack_.backing(device);
    const BlockDevice* below = file && file->block_device ? inventory_.find(file->device) : nullptr;
    if (below != nullptr) {
      loops_on_[below].push_back(&device);
    }
  }
  find_mounts();
  find_swaps();
  find_system();
}

void DeviceUsage::find_mounts() {
  // Mounts of a whole file system before bind mounts of a part of it.
  for (const bool whole : {true, false}) {
    for (const Mount& mount : stack_.mounts()) {
      if ((mount.root == "/") == whole) {
        for (const BlockDevice* device : stack_.devices_of(mount)) {
          add_once(mount_points_[device], mount.mount_point);
        }
      }
    }
  }
}

void DeviceUsage::find_swaps() {
  for (const std::string& swap : stack_.swaps()) {
    if (const BlockDevice* device = inventory_.find_path(inventory_.roots().in_dev(swap))) {
      swap_paths_.emplace(device, swap);
    }
  }
}

void DeviceUsage::find_system() {
  const auto add = [&](const Foundation& below, const std::string& what) {
    for (const BlockDevice* device : below.devices) {
      add_once(system_[device], what);
    }
  };
  for (const std::string_view point : system_mount_points) {
    for (const Mount& mount : stack_.mounts()) {
      if (mount.mount_point == point) {
        add(stack_.below(mount), mount.mount_point);
      }
    }
  }
  for (const std::string& swap : stack_.swaps()) {
    const std::string path = inventory_.roots().in_dev(swap);
    Foundation below = stack_.below(path);
    below.devices.erase(inventory_.find_path(path));  // this one is "swap", not more
    add(below, "swap");
  }
}

// --- answers ------------------------------------------------------------------------------

bool DeviceUsage::is_system(const BlockDevice& device) const {
  return system_.contains(&device) || system_.contains(&inventory_.whole(device));
}

std::vector<DeviceUse> DeviceUsage::uses(const BlockDevice& device) const {
  std::vector<DeviceUse> uses;
  if (is_system(device)) {
    const auto own = system_.find(&device);
    const auto found = own != system_.end() ? own : system_.find(&inventory_.whole(device));
    uses.push_back({DeviceUseKind::system_disk,
                    joined(found->second, ", "),
                    {device_label(device)},
                    "choose another device: this one runs the system"});
  }
  for (DeviceUse& use : Walk(*this).run(device)) {
    uses.push_back(std::move(use));
  }
  return uses;
}

std::vector<DeviceUse> DeviceUsage::uses_of_file(const std::string& path) const {
  std::vector<DeviceUse> uses;
  const auto identity = stack_.identity(path);
  if (!identity) {
    return uses;  // it will be made
  }
  for (const BlockDevice& device : inventory_.devices()) {
    if (stack_.backing(device) == identity) {
      const std::string label = device_label(device);
      uses.push_back({DeviceUseKind::loop, label, {path, label}, release_command(device)});
    }
  }
  for (const std::string& swap : stack_.swaps()) {
    if (stack_.identity(swap) == identity) {
      uses.push_back({DeviceUseKind::swap, swap, {path}, "swapoff " + quoted(swap)});
    }
  }
  if (identity->block_device) {  // sysfs does not know it, but perhaps it is mounted
    for (const Mount& mount : stack_.mounts()) {
      if (mount.device == identity->device) {
        uses.push_back({DeviceUseKind::mounted,
                        mount.mount_point,
                        {path},
                        "umount " + quoted(mount.mount_point)});
      }
    }
  }
  return uses;
}

std::vector<DeviceUse> DeviceUsage::reasons_not_to_write(
    const std::string& target, const std::vector<std::string>& images) const {
  const BlockDevice* device = inventory_.find_path(target);
  std::vector<DeviceUse> reasons = device != nullptr ? uses(*device) : uses_of_file(target);
  for (const std::string& image : images) {
    if (stack_.share_storage(target, image)) {
      reasons.push_back({DeviceUseKind::holds_image,
                         image,
                         {target},
                         "choose another target, or copy the image elsewhere first"});
    }
  }
  if (device == nullptr) {
    return reasons;
  }
  if (device->read_only) {
    reasons.push_back(
        {DeviceUseKind::read_only,
         device->path,
         {device->path},
         "blockdev --setrw " + quoted(device->path) + ", or look for a write-protect switch"});
  }
  if (reasons.empty()) {  // else these are the ones who have it open
    for (const Opener& opener : processes_writing(*device, inventory_)) {
      reasons.push_back(
          {DeviceUseKind::open_for_writing, opener.label(), {device->path}, "stop that process"});
    }
  }
  return reasons;
}

std::vector<const BlockDevice*> DeviceUsage::disks_below(const std::string& path) const {
  std::vector<const BlockDevice*> disks;
  for (const BlockDevice* device : stack_.below(path).devices) {
    if (device->kind == DeviceKind::disk ||
        (device->parent.empty() && device->slaves.empty() && !stack_.backing(*device))) {
      disks.push_back(device);
    }
  }
  std::sort(disks.begin(), disks.end(), [](const BlockDevice* a, const BlockDevice* b) {
    return device_name_less(a->name, b->name);
  });
  return disks;
}

}  // namespace io
