// What of a domain's XML matters for its disks: read from libvirt's text, never changed.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "imgtool/virt/disk_source.hpp"
#include "imgtool/virt/host_device.hpp"

namespace imgtool::virt {

// One image of a chain: what it is, and its format as libvirt was told ("" where it was not).
struct ChainLink {
  DiskSource source;
  std::string format;
};

struct DomainDisk {
  std::string device;  // disk, cdrom, lun, floppy
  std::string target;  // vda
  std::string bus;
  std::string serial;
  std::string alias;  // only in live XML
  std::string cache;
  std::string io;
  bool readonly = false;
  bool shareable = false;
  ChainLink image;
  std::vector<ChainLink> backing;  // as far as libvirt says
  std::vector<ChainLink> mirror;   // of a running block copy: what is written, and below it
  std::string xml;                 // the whole element
};

struct DomainLayout {
  std::string type;     // "kvm", "qemu", "test"
  std::string machine;  // "pc-q35-7.2"
  std::string arch;
  std::string os_id;       // of libosinfo: "http://microsoft.com/win/10"; "" when not said
  bool hyperv = false;     // features or a timer that only Windows has a use for
  bool pci_ports = false;  // devices are plugged into ports: q35 and the like
  unsigned free_ports = 0;
  bool virtio_scsi = false;  // controller 0 of the scsi bus
  std::vector<DomainDisk> disks;
  std::vector<HostDevice> host_devices;

  [[nodiscard]] const DomainDisk* find_target(std::string_view target) const;
};

// Throws io::Error (format) when it is no domain's XML.
DomainLayout read_domain(const std::string& xml);

}  // namespace imgtool::virt
