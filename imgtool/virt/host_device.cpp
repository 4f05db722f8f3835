#include "imgtool/virt/host_device.hpp"

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <string_view>

#include <fmt/format.h>
#include <pugixml.hpp>

namespace imgtool::virt {
namespace {

using Bus = HostDevice::Bus;

// libvirt writes hexadecimal and decimal numbers, with and without 0x.
unsigned number(const pugi::xml_node& node, const char* key) {
  return static_cast<unsigned>(std::strtoul(node.attribute(key).value(), nullptr, 0));
}

std::string pci_address(const pugi::xml_node& address) {
  return fmt::format("{:04x}:{:02x}:{:02x}.{:x}", number(address, "domain"), number(address, "bus"),
                     number(address, "slot"), number(address, "function"));
}

std::optional<HostDevice> read_scsi(const pugi::xml_node& source) {
  constexpr std::string_view prefix = "scsi_host";
  const std::string_view adapter = source.child("adapter").attribute("name").value();
  if (!adapter.starts_with(prefix)) return std::nullopt;  // on the network, by iSCSI
  const pugi::xml_node address = source.child("address");
  return HostDevice{
      Bus::scsi, fmt::format("{}:{}:{}:{}", adapter.substr(prefix.size()), number(address, "bus"),
                             number(address, "target"), number(address, "unit"))};
}

HostDevice read_usb(const pugi::xml_node& source) {
  if (const pugi::xml_node address = source.child("address")) {
    return {Bus::usb, fmt::format("{}:{}", number(address, "bus"), number(address, "device"))};
  }
  return {Bus::usb, "",
          fmt::format("{:04x}:{:04x}", number(source.child("vendor"), "id"),
                      number(source.child("product"), "id"))};
}

std::optional<HostDevice> read_host_device(const pugi::xml_node& node) {
  const std::string_view type = node.attribute("type").value();
  const pugi::xml_node source = node.child("source");
  if (type == "pci") return HostDevice{Bus::pci, pci_address(source.child("address"))};
  if (type == "scsi") return read_scsi(source);
  if (type == "usb") return read_usb(source);
  return std::nullopt;
}

// Where in sysfs the disk is. One with several ways to it is below none of them, and its subsystem
// links to the controllers.
std::vector<std::string> places_of(const io::BlockDevice& disk) {
  constexpr std::string_view subsystems = "/nvme-subsystem/";
  std::vector<std::string> places = {disk.sysfs};
  const std::size_t at = disk.sysfs.find(subsystems);
  if (at == std::string::npos) return places;
  const std::string subsystem = disk.sysfs.substr(0, disk.sysfs.find('/', at + subsystems.size()));
  for (const std::string& name : io::names_in(subsystem)) {
    const std::string link = fmt::format("{}/{}", subsystem, name);
    const auto controller = io::canonical(link);
    if (io::link_text(link) && controller) places.push_back(*controller);
  }
  return places;
}

bool is_usb_device(const std::string& folder, const HostDevice& device) {
  if (!io::exists(fmt::format("{}/busnum", folder))) return false;
  const auto text = [&](const char* attribute) {
    return io::read_text(fmt::format("{}/{}", folder, attribute));
  };
  return device.model.empty()
             ? fmt::format("{}:{}", text("busnum"), text("devnum")) == device.address
             : fmt::format("{}:{}", text("idVendor"), text("idProduct")) == device.model;
}

bool passes_through(std::string place, const HostDevice& device) {
  for (std::size_t slash = place.rfind('/'); slash != std::string::npos && slash > 0;
       slash = place.rfind('/')) {
    const bool here = device.bus == Bus::usb
                          ? is_usb_device(place, device)
                          : std::string_view(place).substr(slash + 1) == device.address;
    if (here) return true;
    place.resize(slash);
  }
  return false;
}

}  // namespace

std::string HostDevice::label() const {
  const std::string_view name = bus == Bus::pci ? "PCI" : bus == Bus::scsi ? "SCSI" : "USB";
  return fmt::format("{} device {}", name, model.empty() ? address : model);
}

std::vector<HostDevice> read_host_devices(const pugi::xml_node& devices) {
  std::vector<HostDevice> found;
  const auto add = [&](const pugi::xml_node& node, std::optional<HostDevice> device) {
    if (!device) return;
    device->readonly = static_cast<bool>(node.child("readonly"));
    device->shareable = static_cast<bool>(node.child("shareable"));
    found.push_back(std::move(*device));
  };
  for (const pugi::xml_node& node : devices.children("hostdev")) add(node, read_host_device(node));
  for (const pugi::xml_node& node : devices.children("disk")) {
    // QEMU takes the whole controller away from the kernel, whichever namespace it shows.
    if (std::string_view(node.attribute("type").value()) != "nvme") continue;
    HostDevice drive{Bus::pci, pci_address(node.child("source").child("address"))};
    drive.target = node.child("target").attribute("dev").value();
    add(node, std::move(drive));
  }
  return found;
}

bool carries(const HostDevice& device, const io::BlockDevice& disk) {
  const std::vector<std::string> places = places_of(disk);
  return std::any_of(places.begin(), places.end(),
                     [&](const std::string& place) { return passes_through(place, device); });
}

}  // namespace imgtool::virt
