#include "io/devices/device_usage.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <thread>

#include "io/devices/device_openers.hpp"

namespace io {
namespace {

constexpr std::array<std::string_view, 7> system_mount_points = {
    "/", "/usr", "/boot", "/boot/efi", "/efi", "/var", "/home"};

constexpr std::chrono::milliseconds look_time{300};
constexpr std::chrono::milliseconds look_pause{20};

bool is_system_mount(std::string_view mount_point) {
  return std::find(system_mount_points.begin(), system_mount_points.end(), mount_point) !=
         system_mount_points.end();
}

template <class Value>
void add_once(std::vector<Value>& values, const Value& value) {
  if (std::find(values.begin(), values.end(), value) == values.end()) values.push_back(value);
}

std::string joined(const std::vector<std::string>& texts) {
  std::string result;
  for (const std::string& text : texts) result += result.empty() ? text : ", " + text;
  return result;
}

}  // namespace

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
    if (!device.doubt.empty()) add(DeviceUseKind::unknown, device.doubt, std::nullopt);
    add_own(device);
    for (const BlockDevice* holder : holders(device)) {
      const std::size_t before = reached_;
      visit(*holder, true);
      if (reached_ == before) {
        path_.push_back(holder);
        add(use_by(*holder), device_label(*holder), std::nullopt);
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
        add(DeviceUseKind::mounted, mount_point, ReleaseStep{ReleaseKind::unmount, mount_point});
      }
    }
    if (const auto swap = usage_.swap_paths_.find(&device); swap != usage_.swap_paths_.end()) {
      add(DeviceUseKind::swap, swap->second, ReleaseStep{ReleaseKind::swap_off, swap->second});
    }
    const bool cache = (device.kind == DeviceKind::disk || device.kind == DeviceKind::partition) &&
                       device.holders.empty() && exists(device.sysfs + "/bcache");
    if (cache) {
      add(DeviceUseKind::bcache, "", ReleaseStep{ReleaseKind::bcache_set, device.sysfs});
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
  void add(DeviceUseKind kind, std::string detail, const std::optional<ReleaseStep>& first_step) {
    ++reached_;
    DeviceUse use;
    use.kind = kind;
    use.detail = std::move(detail);
    std::vector<ReleaseStep> steps;
    if (first_step) steps.push_back(*first_step);
    for (std::size_t i = path_.size(); i-- > 0;) {
      use.stack.insert(use.stack.begin(), device_label(*path_[i]));
      const auto step = i > 0 ? release_of(*path_[i]) : std::nullopt;
      if (step) add_once(steps, *step);
    }
    if (kind != DeviceUseKind::mounted ||
        !is_system_mount(use.detail)) {  // a system in use cannot do without
      use.release = std::move(steps);
    }
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
    uses.push_back({DeviceUseKind::system_disk, joined(found->second), {device_label(device)}, {}});
  }
  for (DeviceUse& use : Walk(*this).run(device)) {
    uses.push_back(std::move(use));
  }
  add_uses_of_same_bytes(device, uses);
  add_loops_on_anything(device_label(device), uses);
  return uses;
}

void DeviceUsage::add_loops_on_anything(const std::string& label,
                                        std::vector<DeviceUse>& uses) const {
  for (const BlockDevice* loop : stack_.loops_on_anything()) {
    const bool known = std::any_of(uses.begin(), uses.end(), [&](const DeviceUse& one) {
      return one.kind == DeviceUseKind::unknown && one.detail == loop->doubt;
    });
    if (known) continue;
    uses.push_back({DeviceUseKind::unknown, loop->doubt, {label, device_label(*loop)}, {}});
  }
}

// A mount of another loop device over the same file would be written over as well.
void DeviceUsage::add_uses_of_same_bytes(const BlockDevice& device,
                                         std::vector<DeviceUse>& uses) const {
  for (const BlockDevice& other : inventory_.devices()) {
    if (&other == &device || !stack_.show_same_bytes(device, other)) {
      continue;
    }
    for (DeviceUse& use : Walk(*this).run(other)) {
      const bool is_itself = use.kind == DeviceUseKind::loop && use.detail == device_label(device);
      const bool known = std::any_of(uses.begin(), uses.end(), [&](const DeviceUse& one) {
        return one.kind == use.kind && one.detail == use.detail;
      });
      if (!is_itself && !known) {
        uses.push_back(std::move(use));
      }
    }
  }
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
      uses.push_back(
          {DeviceUseKind::loop, label, {path, label}, {{ReleaseKind::loop, device.path}}});
    }
  }
  for (const std::string& swap : stack_.swaps()) {
    if (stack_.identity(swap) == identity) {
      uses.push_back({DeviceUseKind::swap, swap, {path}, {{ReleaseKind::swap_off, swap}}});
    }
  }
  add_loops_on_anything(path, uses);
  if (identity->block_device) {  // sysfs does not know it, but perhaps it is mounted
    for (const Mount& mount : stack_.mounts()) {
      if (mount.device == identity->device) {
        uses.push_back({DeviceUseKind::mounted,
                        mount.mount_point,
                        {path},
                        {{ReleaseKind::unmount, mount.mount_point}}});
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
      reasons.push_back({DeviceUseKind::holds_image, image, {target}, {}});
    }
  }
  if (device == nullptr) {
    return reasons;
  }
  if (device->read_only) {
    reasons.push_back({DeviceUseKind::read_only, device->path, {device->path}, {}});
  }
  if (reasons.empty()) {  // else these are the ones who have it open
    for (const Opener& opener : processes_writing(*device, inventory_)) {
      reasons.push_back({DeviceUseKind::open_for_writing, opener.label(), {device->path}, {}});
    }
  }
  return reasons;
}

std::vector<DeviceUse> DeviceUsage::lasting_reasons_not_to_write(
    const std::string& target, const std::vector<std::string>& images) const {
  const auto deadline = std::chrono::steady_clock::now() + look_time;
  while (true) {
    auto reasons = reasons_not_to_write(target, images);
    const bool may_pass = std::all_of(reasons.begin(), reasons.end(), [](const DeviceUse& use) {
      return use.kind == DeviceUseKind::open_for_writing;
    });
    if (reasons.empty() || !may_pass || std::chrono::steady_clock::now() >= deadline) {
      return reasons;
    }
    std::this_thread::sleep_for(look_pause);
  }
}

}  // namespace io
