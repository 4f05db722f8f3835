// The disk that is to be attached: found by the name that the user gave, and looked at before
// libvirt is, which would take anything.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "imgtool/virt/disk_source.hpp"
#include "imgtool/virt/host_storage.hpp"
#include "imgtool/virt/libvirt.hpp"

namespace imgtool::virt {

struct SourceWishes {
  std::optional<std::string> format;  // raw, qcow2, vdi, vpc, vmdk, qed or qcow
  bool follow_references = false;     // the image may name others
  bool readonly = false;
};

struct CheckedSource {
  DiskSource source;  // as it is to be written
  Identity identity;
  std::vector<std::string> chain;  // paths of the images below it, which the guest will read
  std::string format;
  std::string format_reason;
  bool local_file = false;  // a regular file or a block device of this host: identity.path
  bool local_block = false;
  bool direct = true;                 // O_DIRECT works, as far as is known
  std::optional<std::uint64_t> size;  // of the guest's disk
  std::vector<std::string> notes;     // what could not be checked, and what may surprise
};

// Throws io::Error: system when it is not there or cannot be read, refused when it must not be
// attached like this.
CheckedSource check_source(const Connection& connection, const HostStorage& host,
                           const std::string& name, const SourceWishes& wishes);

// The source that a name stands for, without looking into it: to find it among a domain's disks.
Identity identity_of_name(const Connection& connection, const HostStorage& host,
                          const std::string& name);

// A format by its first bytes that libvirt knows and imgtool does not read: "vmdk".
std::string foreign_format(std::string_view start);

}  // namespace imgtool::virt
