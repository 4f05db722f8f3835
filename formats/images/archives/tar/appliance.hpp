// What an appliance (OVA) in a file says about itself.
#pragma once

#include <string>
#include <vector>

#include "formats/images/archives/member_choice.hpp"
#include "formats/images/archives/ova/package.hpp"
#include "formats/images/archives/tar/walker.hpp"

namespace formats::tar {

struct Appliance {
  std::vector<ova::Disk> disks;  // with content; none: it is no appliance
  std::vector<ova::FileDigest> manifest;
};

// `members` are those of `file`. Throws Error.
[[nodiscard]] Appliance read_appliance(const io::File& file, const std::vector<Member>& members);

// The index of the image in the list: see archives::choose_member(). An appliance's only disk is
// it.
[[nodiscard]] std::size_t choose_disk(const archives::MemberList& list, const Appliance& appliance,
                                      const std::string& wanted);

}  // namespace formats::tar
