// Which bus a new disk is put on, and why.
#pragma once

#include <string>

#include "imgtool/virt/domain_xml.hpp"
#include "imgtool/virt/libvirt.hpp"

namespace imgtool::virt {

struct BusChoice {
  std::string bus;
  std::string reason;  // a phrase: "the guest is not known to be Windows"
};

// `layout` is the running half where there is one, else the configuration; `halves` is what the
// disk will be attached to. Decided by what is in the XML: libosinfo's metadata, hyperv features
// and timers, the disks that the guest has already, controllers and free PCI ports.
BusChoice choose_bus(const DomainLayout& layout, Halves halves);

// Whether a running guest can be given a disk on this bus.
bool can_hotplug(const std::string& bus);

}  // namespace imgtool::virt
