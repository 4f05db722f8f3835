#include "imgtool/virt/bus_choice.hpp"

#include <fmt/format.h>

namespace imgtool::virt {
namespace {

// Why the guest is taken for Windows; "" when it is not.
std::string windows_evidence(const DomainLayout& layout) {
  if (layout.os_id.find("microsoft.com/") != std::string::npos) {
    return fmt::format("libosinfo's metadata says {}", layout.os_id);
  }
  if (layout.os_id.empty() && layout.hyperv) return "it has hyperv features or timers";
  return "";
}

// A disk (not a drive of CDs) on this bus: the guest runs from it, or was meant to.
const DomainDisk* disk_on(const DomainLayout& layout, std::string_view bus) {
  for (const DomainDisk& disk : layout.disks) {
    if (disk.device == "disk" && disk.bus == bus) return &disk;
  }
  return nullptr;
}

BusChoice choose_for_windows(const DomainLayout& layout, const std::string& evidence) {
  const std::string guest = fmt::format("a Windows guest ({})", evidence);
  if (const DomainDisk* disk = disk_on(layout, "virtio")) {
    return {"virtio", fmt::format("{} with viostor, as its disk {} shows", guest, disk->target)};
  }
  if (const DomainDisk* disk = layout.virtio_scsi ? disk_on(layout, "scsi") : nullptr) {
    return {"scsi", fmt::format("{} with vioscsi, as its disk {} shows", guest, disk->target)};
  }
  const bool ide = layout.machine.find("i440fx") != std::string::npos || layout.machine == "pc";
  return {ide ? "ide" : "sata",
          fmt::format("{} without a disk on virtio, so viostor may not be installed", guest)};
}

}  // namespace

BusChoice choose_bus(const DomainLayout& layout, Halves halves) {
  if (const std::string evidence = windows_evidence(layout); !evidence.empty()) {
    return choose_for_windows(layout, evidence);
  }
  const std::string guest =
      layout.os_id.empty() ? "nothing in the domain says that the guest is Windows; --bus sata "
                             "if it is, and has no virtio drivers"
                           : fmt::format("the guest is {}", layout.os_id);
  if (halves.live && layout.pci_ports && layout.free_ports == 0 && layout.virtio_scsi) {
    return {"scsi", "no PCI port is free for a virtio disk, and there is a virtio-scsi controller"};
  }
  return {"virtio", guest};
}

bool can_hotplug(const std::string& bus) {
  return bus == "virtio" || bus == "scsi" || bus == "usb";
}

}  // namespace imgtool::virt
