// The <disk> elements that are given to libvirt, and domain XML with one more or one less of them.
//
// All of it through an XML library: names may hold quotes, ampersands and anything else.
#pragma once

#include <string>

#include "imgtool/virt/disk_source.hpp"

namespace imgtool::virt {

// Everything that is decided about a disk. Empty texts are left to libvirt.
struct DiskPlan {
  DiskSource source;
  std::string format;
  std::string target;
  std::string bus;
  std::string cache;
  std::string io;
  std::string discard;
  std::string detect_zeroes;
  std::string serial;
  bool readonly = false;
  bool shareable = false;
};

std::string disk_xml(const DiskPlan& plan);

// A disk of one half of a domain as it can be attached to the other: without what belongs to that
// half alone (alias, address, what libvirt found out about the chain).
std::string for_other_half(const std::string& disk_xml);

// The domain with the disk behind its other disks, otherwise byte for byte what matters. Throws
// io::Error (format).
std::string with_disk(const std::string& domain_xml, const std::string& disk_xml);
// Without the disk that has this target. Throws io::Error (format) when it has none.
std::string without_disk(const std::string& domain_xml, const std::string& target);

}  // namespace imgtool::virt
