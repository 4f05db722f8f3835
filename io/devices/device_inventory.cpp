#include "io/devices/device_inventory.hpp"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cctype>
#include <cerrno>

#include "io/devices/device_identity.hpp"
#include "io/error.hpp"

namespace io {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

DeviceKind kind_of(const std::string& name, const std::string& folder) {
  struct Prefix {
    std::string_view text;
    DeviceKind kind;
  };
  static constexpr Prefix prefixes[] = {
      {"loop", DeviceKind::loop},    {"dm-", DeviceKind::device_mapper},
      {"md", DeviceKind::raid},      {"bcache", DeviceKind::bcache},
      {"sr", DeviceKind::optical},   {"scd", DeviceKind::optical},
      {"zram", DeviceKind::memory},  {"ram", DeviceKind::memory},
      {"nbd", DeviceKind::network},  {"rbd", DeviceKind::network},
      {"drbd", DeviceKind::network}, {"fd", DeviceKind::floppy},
      {"zd", DeviceKind::other},
  };
  for (const Prefix& prefix : prefixes) {
    if (name.starts_with(prefix.text)) {
      return prefix.kind;
    }
  }
  // mmcblk0boot0, mmcblk0gp0: areas beside the card's own space.
  const std::size_t digits = name.find_first_not_of("0123456789", 6);
  if (name.starts_with("mmcblk") && digits != std::string::npos && name[digits] != 'p') {
    return DeviceKind::other;
  }
  return exists(folder + "/device") ? DeviceKind::disk : DeviceKind::other;
}

std::optional<dev_t> parse_device_number(std::string_view text) {
  const auto parts = split(text, ':');
  if (parts.size() != 2) {
    return std::nullopt;
  }
  const auto major_number = parse_number(parts[0]);
  const auto minor_number = parse_number(parts[1]);
  if (!major_number || !minor_number || *major_number == 0) {
    return std::nullopt;
  }
  return makedev(static_cast<unsigned>(*major_number), static_cast<unsigned>(*minor_number));
}

std::string node_path(const SystemRoots& roots, std::string name) {
  std::replace(name.begin(), name.end(), '!', '/');
  return roots.dev + "/" + name;
}

// "vg--a-lv--b-real" is volume group "vg-a", volume "lv-b", layer "real".
void split_lvm_name(MapperInfo& info) {
  std::vector<std::string> parts(1);
  for (std::size_t i = 0; i < info.name.size(); ++i) {
    if (info.name[i] != '-') {
      parts.back() += info.name[i];
    } else if (i + 1 < info.name.size() && info.name[i + 1] == '-') {
      parts.back() += '-';
      ++i;
    } else {
      parts.emplace_back();
    }
  }
  if (parts.size() >= 2) {
    info.volume_group = parts[0];
    info.logical_volume = parts[1];
  }
  for (std::size_t i = 2; i < parts.size(); ++i) {
    info.layer += (i > 2 ? "-" : "") + parts[i];
  }
}

MapperInfo read_mapper(const std::string& folder) {
  MapperInfo info;
  info.name = read_name(folder + "/dm/name").value_or("");
  info.uuid = read_name(folder + "/dm/uuid").value_or("");
  if (info.uuid.starts_with("LVM-")) {
    info.kind = MapperKind::lvm;
    split_lvm_name(info);
  } else if (info.uuid.starts_with("CRYPT-")) {
    info.kind = MapperKind::crypt;
  } else if (info.uuid.starts_with("mpath-")) {
    info.kind = MapperKind::multipath;
  } else if (info.uuid.starts_with("part")) {
    info.kind = MapperKind::partition;
  } else {
    info.kind = MapperKind::other;
  }
  return info;
}

std::vector<std::string> sorted_names_in(const std::string& folder) {
  auto names = names_in(folder);
  std::sort(names.begin(), names.end(), device_name_less);
  return names;
}

// What the kernel does not tell of one device makes that one doubtful; that this process cannot ask
// (it has too many files open) is nothing about a device.
template <class Look>
void look_at(BlockDevice& device, const Look& look) {
  try {
    look();
  } catch (const Error& error) {
    const int number = error.error_number();
    if (number == EMFILE || number == ENFILE || number == ENOMEM) throw;
    if (device.doubt.empty()) device.doubt = error.what();
  }
}

// The number of a device whose attribute could not be read, as its node has it; else 0.
dev_t number_of_node(const std::string& path) {
  struct stat status = {};
  return ::stat(path.c_str(), &status) == 0 && S_ISBLK(status.st_mode) ? status.st_rdev : 0;
}

// What disks and partitions have alike. False: there is no such device.
bool read_common(BlockDevice& device, const SystemRoots& roots) {
  device.path = node_path(roots, device.name);
  std::optional<dev_t> number;
  look_at(device, [&] {
    number = parse_device_number(trimmed(read_surely(device.sysfs + "/dev").value_or("")));
  });
  if (!number && device.doubt.empty()) {
    return false;  // a hidden path of a multipath NVMe namespace, or a device on its way out
  }
  device.number = number ? *number : number_of_node(device.path);
  constexpr std::uint64_t sysfs_sector_bytes = 512;  // whatever the device's own sectors are
  look_at(device, [&] {
    device.size_bytes =
        parse_number(trimmed(read_surely(device.sysfs + "/size").value_or(""))).value_or(0) *
        sysfs_sector_bytes;
  });
  look_at(device, [&] { device.read_only = read_number(device.sysfs + "/ro").value_or(0) != 0; });
  return true;
}

bool is_unused_slot(const BlockDevice& device) {
  return device.size_bytes == 0 && device.doubt.empty() &&
         (device.kind == DeviceKind::loop || device.kind == DeviceKind::network ||
          device.kind == DeviceKind::memory);
}

void read_sector_sizes(BlockDevice& device) {
  const std::string queue = device.sysfs + "/queue/";
  const auto logical = read_number(queue + "logical_block_size").value_or(512);
  const auto physical = read_number(queue + "physical_block_size").value_or(logical);
  device.logical_sector_bytes = static_cast<std::uint32_t>(logical);
  device.physical_sector_bytes = static_cast<std::uint32_t>(physical);
  device.rotational = read_number(queue + "rotational").value_or(0) != 0;
}

}  // namespace

std::string_view to_string(DeviceKind kind) {
  switch (kind) {
    case DeviceKind::disk:
      return "disk";
    case DeviceKind::partition:
      return "partition";
    case DeviceKind::loop:
      return "loop";
    case DeviceKind::device_mapper:
      return "device-mapper";
    case DeviceKind::raid:
      return "raid";
    case DeviceKind::bcache:
      return "bcache";
    case DeviceKind::optical:
      return "optical";
    case DeviceKind::floppy:
      return "floppy";
    case DeviceKind::memory:
      return "memory";
    case DeviceKind::network:
      return "network";
    case DeviceKind::other:
      return "other";
  }
  return "other";
}

std::string_view to_string(MapperKind kind) {
  switch (kind) {
    case MapperKind::none:
      return "none";
    case MapperKind::lvm:
      return "lvm";
    case MapperKind::crypt:
      return "crypt";
    case MapperKind::multipath:
      return "multipath";
    case MapperKind::partition:
      return "partition";
    case MapperKind::other:
      return "other";
  }
  return "other";
}

bool BlockDevice::has_serial(std::string_view text) const {
  const auto plain = [](std::string_view spelled) {
    std::string result;
    for (const char c : spelled) {
      if (c != ' ' && c != '_') {
        result += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
      }
    }
    return result;
  };
  const std::string wanted = plain(text);
  const auto matches = [&](const std::string& have) { return plain(have) == wanted; };
  return !wanted.empty() && (matches(serial) || matches(wwn) ||
                             std::any_of(other_serials.begin(), other_serials.end(), matches));
}

bool device_name_less(std::string_view a, std::string_view b) {
  while (!a.empty() && !b.empty()) {
    const auto run_length = [](std::string_view text) {
      const bool digits = is_digit(text[0]);
      std::size_t length = 1;
      while (length < text.size() && is_digit(text[length]) == digits) {
        ++length;
      }
      return length;
    };
    const std::string_view run_a = a.substr(0, run_length(a));
    const std::string_view run_b = b.substr(0, run_length(b));
    if (run_a != run_b) {
      // Numbers by value; letters of one family (sdz, sdaa) by length too.
      const bool numbers = is_digit(a[0]) && is_digit(b[0]);
      const bool family = run_a.size() > 2 && run_b.size() > 2 && run_a.substr(1, 1) == "d" &&
                          run_a.substr(0, 2) == run_b.substr(0, 2);
      if ((numbers || family) && run_a.size() != run_b.size()) {
        return run_a.size() < run_b.size();
      }
      return run_a < run_b;
    }
    a.remove_prefix(run_a.size());
    b.remove_prefix(run_b.size());
  }
  return a.size() < b.size();
}

DeviceInventory::DeviceInventory(SystemRoots roots) : roots_(std::move(roots)) {
  for (const std::string& name : sorted_names_in(roots_.sys + "/block")) {
    scan_disk(name);
  }
  for (std::size_t i = 0; i < devices_.size(); ++i) {
    by_name_.emplace(devices_[i].name, i);
    if (devices_[i].number != 0) by_number_.emplace(devices_[i].number, i);
  }
  add_links();
  for (BlockDevice& device : devices_) {
    if (device.kind == DeviceKind::disk || device.kind == DeviceKind::optical) {
      look_at(device, [&] { identify(device, roots_); });
    }
  }
  for (BlockDevice& device : devices_) {
    const BlockDevice* path = device.mapper.kind == MapperKind::multipath && !device.slaves.empty()
                                  ? find_name(device.slaves.front())
                                  : nullptr;
    if (path != nullptr) {  // every path of a multipath disk is the same disk
      device.model = path->model;
      device.serial = path->serial;
      device.other_serials = path->other_serials;
      device.wwn = path->wwn;
      device.transport = path->transport;
    }
  }
}

void DeviceInventory::scan_disk(const std::string& name) {
  BlockDevice device;
  device.name = name;
  look_at(device, [&] { device.sysfs = canonical(roots_.sys + "/block/" + name).value_or(""); });
  if (device.sysfs.empty() && !device.doubt.empty()) {
    device.sysfs = roots_.sys + "/block/" + name;
  }
  if (device.sysfs.empty() || !read_common(device, roots_)) {
    return;
  }
  look_at(device, [&] { device.kind = kind_of(name, device.sysfs); });
  if (device.kind == DeviceKind::loop) {
    look_at(device, [&] {
      device.backing_file = name_from(read_surely(device.sysfs + "/loop/backing_file"));
    });
    look_at(device, [&] {
      device.backing_offset = read_number(device.sysfs + "/loop/offset").value_or(0);
    });
  }
  if (is_unused_slot(device)) {
    devices_.push_back(std::move(device));
    return;
  }
  scan_details(device);
  devices_.push_back(std::move(device));
  const std::size_t index = devices_.size() - 1;
  BlockDevice disk = devices_.back();  // the list grows by its partitions
  look_at(disk, [&] { scan_partitions(disk); });
  devices_[index].doubt = disk.doubt;
}

void DeviceInventory::scan_details(BlockDevice& device) const {
  look_at(device, [&] {
    read_sector_sizes(device);
    device.removable = read_number(device.sysfs + "/removable").value_or(0) != 0;
    device.transport = transport_of(device);
  });
  look_at(device, [&] { device.holders = sorted_names_in(device.sysfs + "/holders"); });
  if (device.kind == DeviceKind::device_mapper) {
    look_at(device, [&] { device.mapper = read_mapper(device.sysfs); });
  }
  if (device.kind == DeviceKind::raid) {
    look_at(device, [&] { device.raid_level = read_text(device.sysfs + "/md/level"); });
  }
  if (device.kind != DeviceKind::disk && device.kind != DeviceKind::loop) {
    look_at(device, [&] { device.slaves = sorted_names_in(device.sysfs + "/slaves"); });
  }
}

void DeviceInventory::scan_partitions(const BlockDevice& disk) {
  for (const std::string& name : sorted_names_in(disk.sysfs)) {
    BlockDevice part;
    part.sysfs = disk.sysfs + "/" + name;
    if (!name.starts_with(disk.name) || !exists(part.sysfs + "/partition")) {
      continue;
    }
    part.name = name;
    part.kind = DeviceKind::partition;
    part.parent = disk.name;
    if (!read_common(part, roots_)) {
      continue;
    }
    look_at(part, [&] { part.start_bytes = read_number(part.sysfs + "/start").value_or(0) * 512; });
    part.transport = disk.transport;
    part.removable = disk.removable;
    part.read_only = part.read_only || disk.read_only;
    part.rotational = disk.rotational;
    part.logical_sector_bytes = disk.logical_sector_bytes;
    part.physical_sector_bytes = disk.physical_sector_bytes;
    look_at(part, [&] { part.holders = sorted_names_in(part.sysfs + "/holders"); });
    std::find_if(devices_.rbegin(), devices_.rend(), [&](const BlockDevice& device) {
      return device.name == disk.name;
    })->partitions.push_back(name);
    devices_.push_back(std::move(part));
  }
}

void DeviceInventory::add_links() {
  const auto add = [&](const std::string& link) {
    if (const BlockDevice* device = find_path(link)) {
      devices_[by_name_.find(device->name)->second].links.push_back(link);
    }
  };
  for (const BlockDevice& device : devices_) {
    if (!device.mapper.volume_group.empty() && device.mapper.layer.empty()) {
      add(roots_.dev + "/" + device.mapper.volume_group + "/" + device.mapper.logical_volume);
    }
    if (!device.mapper.name.empty()) {
      add(roots_.dev + "/mapper/" + device.mapper.name);
    }
  }
  for (const std::string& name : sorted_names_in(roots_.dev + "/md")) {
    add(roots_.dev + "/md/" + name);
  }
  const std::string by_id = roots_.dev + "/disk/by-id/";
  auto names = names_in(by_id);
  std::sort(names.begin(), names.end(), better_link);
  for (const std::string& name : names) {
    add(by_id + name);
  }
  add_ports();
}

void DeviceInventory::add_ports() {
  const std::string by_path = roots_.dev + "/disk/by-path/";
  for (const std::string& name : sorted_names_in(by_path)) {
    const BlockDevice* device = find_path(by_path + name);
    if (device == nullptr) {
      continue;
    }
    std::string& port = devices_[by_name_.find(device->name)->second].port;
    if (port.empty()) {
      port = name;  // the first of several is the shortest: "-usb-0:2:" before "-usbv2-0:2:"
    }
  }
}

const BlockDevice* DeviceInventory::find(dev_t number) const {
  const auto found = by_number_.find(number);
  return found == by_number_.end() ? nullptr : &devices_[found->second];
}

const BlockDevice* DeviceInventory::find_name(std::string_view kernel_name) const {
  const auto found = by_name_.find(kernel_name);
  return found == by_name_.end() ? nullptr : &devices_[found->second];
}

const BlockDevice* DeviceInventory::find_path(const std::string& path) const {
  struct stat status = {};
  if (::stat(path.c_str(), &status) != 0) {
    throw_if_unknown("stat", path);
    return nullptr;
  }
  if (S_ISBLK(status.st_mode)) {
    return find(status.st_rdev);
  }
  if (roots_.dev_is_real()) {
    return nullptr;
  }
  // An injected tree: an ordinary file stands for the node of its name.
  const auto real = canonical(path);
  const auto base = canonical(roots_.dev);
  if (!real || !base || !real->starts_with(*base + "/")) {
    return nullptr;
  }
  std::string name = real->substr(base->size() + 1);
  std::replace(name.begin(), name.end(), '/', '!');
  return find_name(name);
}

const BlockDevice& DeviceInventory::whole(const BlockDevice& device) const {
  const BlockDevice* parent = device.parent.empty() ? nullptr : find_name(device.parent);
  return parent != nullptr ? *parent : device;
}

// Documentation/block/stat.rst: reads ended, merged, sectors, ms; the same of writes; in flight.
std::optional<Activity> DeviceInventory::activity(const BlockDevice& device) const {
  constexpr std::size_t writes_at = 4;
  constexpr std::size_t in_flight_at = 8;
  const std::string text = read_text(device.sysfs + "/stat");
  std::vector<std::uint64_t> numbers;
  for (const std::string_view word : split(text, ' ')) {
    if (word.empty()) continue;
    const auto number = parse_number(word);
    if (!number) return std::nullopt;
    numbers.push_back(*number);
  }
  if (numbers.size() <= in_flight_at) return std::nullopt;
  return Activity{numbers[writes_at], numbers[in_flight_at]};
}

QueueLimits DeviceInventory::queue_limits(const BlockDevice& device) const {
  const std::string queue = whole(device).sysfs + "/queue/";
  QueueLimits limits;
  limits.request_count = read_number(queue + "nr_requests");
  limits.max_request_bytes = read_number(queue + "max_sectors_kb");
  if (limits.max_request_bytes) {
    *limits.max_request_bytes *= 1024;
  }
  limits.minimum_io_bytes = read_number(queue + "minimum_io_size");
  limits.optimal_io_bytes = read_number(queue + "optimal_io_size");
  limits.discard_granularity = read_number(queue + "discard_granularity");
  limits.discard_max_bytes = read_number(queue + "discard_max_bytes");
  limits.write_zeroes_max_bytes = read_number(queue + "write_zeroes_max_bytes");
  limits.write_cache = read_text(queue + "write_cache") == "write back";
  limits.zoned = read_text(queue + "zoned");
  // "none [mq-deadline] kyber": the active one is in brackets; "none" alone has none.
  const std::string schedulers = read_text(queue + "scheduler");
  const std::size_t open = schedulers.find('[');
  const std::size_t close = schedulers.find(']');
  limits.scheduler = open != std::string::npos && close != std::string::npos && open < close
                         ? schedulers.substr(open + 1, close - open - 1)
                         : schedulers;
  return limits;
}

}  // namespace io
