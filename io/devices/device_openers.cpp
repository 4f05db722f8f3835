#include "io/devices/device_openers.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <charconv>
#include <set>

#include <fmt/format.h>

namespace io {
namespace {

std::set<dev_t> overlapping_devices(const BlockDevice& device, const DeviceInventory& inventory) {
  std::set<dev_t> numbers = {device.number, inventory.whole(device).number};
  for (const std::string& name : device.partitions) {
    if (const BlockDevice* partition = inventory.find_name(name)) {
      numbers.insert(partition->number);
    }
  }
  return numbers;
}

// "flags:	0100002": octal, as open(2) got them.
bool is_open_for_writing(const std::string& fdinfo_path) {
  const auto info = read_bytes(fdinfo_path);
  for (const std::string_view line : split(info ? std::string_view(*info) : "", '\n')) {
    if (line.starts_with("flags:")) {
      const std::string text = trimmed(line.substr(6));
      unsigned flags = 0;
      std::from_chars(text.data(), text.data() + text.size(), flags, 8);
      return (flags & O_ACCMODE) != O_RDONLY;
    }
  }
  return false;
}

bool writes_to(const std::string& process, const std::set<dev_t>& numbers,
               const DeviceInventory& inventory) {
  for (const std::string& fd : names_in(process + "/fd")) {
    const std::string link = fmt::format("{}/fd/{}", process, fd);
    const auto target = link_text(link);
    if (!target || target->find("/dev/") == std::string::npos) {
      continue;  // no device node; and asking about a file on a dead NFS server would block
    }
    // Through the link: the descriptor's own device, in whatever namespace it was opened.
    const BlockDevice* open_device = inventory.find_path(link);
    if (open_device != nullptr && numbers.contains(open_device->number) &&
        is_open_for_writing(fmt::format("{}/fdinfo/{}", process, fd))) {
      return true;
    }
  }
  return false;
}

}  // namespace

std::string Opener::label() const { return command + " (pid " + std::to_string(pid) + ")"; }

std::vector<Opener> processes_writing(const BlockDevice& device, const DeviceInventory& inventory) {
  const std::set<dev_t> numbers = overlapping_devices(device, inventory);
  const std::string& proc = inventory.roots().proc;
  std::vector<Opener> openers;
  for (const std::string& name : names_in(proc)) {
    const auto pid = parse_number(name);
    if (!pid || *pid == static_cast<std::uint64_t>(::getpid())) {
      continue;
    }
    const std::string process = fmt::format("{}/{}", proc, name);
    if (writes_to(process, numbers, inventory)) {
      openers.push_back(
          {static_cast<unsigned>(*pid), read_name(process + "/comm").value_or("a process")});
    }
  }
  return openers;
}

}  // namespace io
