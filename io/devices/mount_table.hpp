// What is mounted and what is swapped to, from procfs.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

#include "io/devices/system_roots.hpp"

namespace io {

struct Mount {
  std::uint64_t id = 0;
  dev_t device = 0;         // major 0: btrfs, overlay, network and the like, see `source`
  std::string root;         // the part of the file system that is mounted: "/" or a folder
  std::string mount_point;  // un-escaped
  std::string type;         // "ext4"
  std::string source;       // "/dev/sda1", "/dev/root", "overlay", "server:/export"
  std::string options;      // of the file system, as mountinfo has them

  // Values of the file system's options that are called `key`, un-escaped.
  [[nodiscard]] std::vector<std::string> option_values(std::string_view key) const;
};

// In the kernel's order: a later one covers an earlier one at the same place.
std::vector<Mount> read_mounts(const SystemRoots& roots);
// Files and devices that are active swap.
std::vector<std::string> read_swaps(const SystemRoots& roots);

// Which mount a file is on; nothing when the path leads nowhere or the table is unreadable.
const Mount* mount_of(const std::string& path, const std::vector<Mount>& mounts,
                      const SystemRoots& roots);

// "\040" is a space, as in mountinfo and swaps.
std::string unescape_octal(std::string_view text);

}  // namespace io
