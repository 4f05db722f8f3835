// Names of disks in a domain (vda, sdb, hdc): the order in which a guest is shown them, no more.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "imgtool/virt/domain_xml.hpp"

namespace imgtool::virt {

// "vd" for virtio, "sd" for scsi, sata and usb, "hd" for ide.
std::string_view target_prefix(std::string_view bus);

// The lowest free name for the bus, by both halves: a name that is used in one of them only is
// taken. Nothing where the bus has no place left. Low letters decide which controller is used,
// so no letter is skipped. Either half may be null.
std::optional<std::string> free_target(std::string_view bus, const DomainLayout* live,
                                       const DomainLayout* config);

// 0 for "a", 25 for "z", 26 for "aa"; and back.
std::string target_letters(unsigned index);

// Whether the word can be the name of a disk on this bus: prefix and letters.
bool suits_bus(std::string_view target, std::string_view bus);

}  // namespace imgtool::virt
