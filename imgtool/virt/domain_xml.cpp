#include "imgtool/virt/domain_xml.hpp"

#include <cstdlib>
#include <sstream>

#include <fmt/format.h>
#include <pugixml.hpp>

#include "io/error.hpp"

namespace imgtool::virt {
namespace {

std::string serialised(const pugi::xml_node& node) {
  std::ostringstream text;
  node.print(text, "", pugi::format_raw | pugi::format_no_declaration, pugi::encoding_utf8);
  return text.str();
}

// A chain's elements are nested: each <backingStore> holds the next.
void read_backing(const pugi::xml_node& parent, std::vector<ChainLink>& chain) {
  constexpr std::size_t longest = 200;
  pugi::xml_node store = parent.child("backingStore");
  while (store && store.attribute("type") && chain.size() < longest) {
    chain.push_back({read_source(store.attribute("type").value(), store.child("source")),
                     store.child("format").attribute("type").value()});
    store = store.child("backingStore");
  }
}

void read_mirror(const pugi::xml_node& mirror, std::vector<ChainLink>& links) {
  if (!mirror) return;
  ChainLink link{read_source(mirror.attribute("type").value(), mirror.child("source")),
                 mirror.child("format").attribute("type").value()};
  if (link.source.type == SourceType::none && mirror.attribute("file")) {  // as libvirt 1.2 did
    link.source.type = SourceType::file;
    link.source.path = mirror.attribute("file").value();
  }
  links.push_back(link);
  read_backing(mirror, links);
}

DomainDisk read_disk(const pugi::xml_node& node) {
  DomainDisk disk;
  disk.device = node.attribute("device").as_string("disk");
  disk.target = node.child("target").attribute("dev").value();
  disk.bus = node.child("target").attribute("bus").value();
  disk.serial = node.child("serial").child_value();
  disk.alias = node.child("alias").attribute("name").value();
  disk.cache = node.child("driver").attribute("cache").value();
  disk.io = node.child("driver").attribute("io").value();
  disk.readonly = static_cast<bool>(node.child("readonly"));
  disk.shareable = static_cast<bool>(node.child("shareable"));
  disk.image.source = read_source(node.attribute("type").value(), node.child("source"));
  disk.image.format = node.child("driver").attribute("type").value();
  read_backing(node, disk.backing);
  read_mirror(node.child("mirror"), disk.mirror);
  disk.xml = serialised(node);
  return disk;
}

// Ports that a device can be plugged into while the guest runs, and those that are taken.
void count_ports(const pugi::xml_node& devices, DomainLayout& layout) {
  std::set<unsigned> ports;
  for (const pugi::xml_node& controller : devices.children("controller")) {
    const std::string_view model = controller.attribute("model").value();
    const std::string_view hotplug = controller.child("target").attribute("hotplug").value();
    if ((model == "pcie-root-port" || model == "pcie-switch-downstream-port") && hotplug != "off") {
      ports.insert(controller.attribute("index").as_uint());
    }
    layout.pci_ports = layout.pci_ports || model == "pcie-root";
  }
  for (const pugi::xml_node& device : devices.children()) {
    const pugi::xml_node address = device.child("address");
    if (std::string_view(address.attribute("type").value()) == "pci") {
      ports.erase(
          static_cast<unsigned>(std::strtoul(address.attribute("bus").value(), nullptr, 0)));
    }
  }
  layout.free_ports = static_cast<unsigned>(ports.size());
}

std::string os_id(const pugi::xml_node& metadata) {
  for (const pugi::xml_node& info : metadata.children()) {
    if (!std::string_view(info.name()).ends_with("libosinfo")) continue;
    for (const pugi::xml_node& os : info.children()) {
      if (os.attribute("id")) return os.attribute("id").value();
    }
  }
  return "";
}

// Local time and a TPM would tell less: guests with other systems have them, too.
bool has_hyperv_clock(const pugi::xml_node& clock) {
  for (const pugi::xml_node& timer : clock.children("timer")) {
    if (std::string_view(timer.attribute("name").value()) == "hypervclock") {
      return std::string_view(timer.attribute("present").value()) != "no";
    }
  }
  return false;
}

}  // namespace

const DomainDisk* DomainLayout::find_target(std::string_view target) const {
  for (const DomainDisk& disk : disks) {
    if (disk.target == target) return &disk;
  }
  return nullptr;
}

DomainLayout read_domain(const std::string& xml) {
  pugi::xml_document document;
  const pugi::xml_parse_result parsed = document.load_buffer(xml.data(), xml.size());
  const pugi::xml_node domain = document.child("domain");
  if (!parsed || !domain) {
    throw io::Error(io::ErrorKind::format, "",
                    fmt::format("what libvirt said is no domain's XML: {}", parsed.description()));
  }
  DomainLayout layout;
  const pugi::xml_node type = domain.child("os").child("type");
  const pugi::xml_node devices = domain.child("devices");
  layout.type = domain.attribute("type").value();
  layout.machine = type.attribute("machine").value();
  layout.arch = type.attribute("arch").value();
  layout.os_id = os_id(domain.child("metadata"));
  layout.hyperv = static_cast<bool>(domain.child("features").child("hyperv").first_child()) ||
                  has_hyperv_clock(domain.child("clock"));
  count_ports(devices, layout);
  for (const pugi::xml_node& controller : devices.children("controller")) {
    const std::string_view kind = controller.attribute("type").value();
    const std::string_view model = controller.attribute("model").value();
    if (kind == "scsi" && controller.attribute("index").as_uint() == 0 &&
        model.starts_with("virtio-")) {
      layout.virtio_scsi = true;
    }
  }
  for (const pugi::xml_node& disk : devices.children("disk")) {
    layout.disks.push_back(read_disk(disk));
  }
  layout.host_devices = read_host_devices(devices);
  return layout;
}

}  // namespace imgtool::virt
