// What imgtool can use on this host, found by trying it: nothing is installed or changed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace imgtool {

enum class HostFeature : std::uint8_t {
  io_uring,
  direct_io,  // O_DIRECT in the folder
  locks,      // the locks by which QEMU and imgtool keep off each other's images, in the folder
  room,       // free space in the folder
  kvm,
  qemu,       // the program that runs the machine in which file systems are worked on
  appliance,  // the folder with what this machine is made of
  kernel,     // a kernel that the caller may read, for that machine
  shrink,     // the companion imgtool-guest starts
  attach,     // the companion imgtool-virt starts, and libvirt answers
};

// "io_uring", "direct-io" ...: the names of features, in the order of the enumeration.
[[nodiscard]] const std::vector<std::string>& host_feature_names();

struct HostFinding {
  HostFeature feature;
  bool works = false;
  std::string found;  // a path, a size, or the system's own words on why not
};

// The features of the kernel and of `folder`, an existing one where images are kept; a file without
// a name is made there. Not those of the companions (shrink, attach).
[[nodiscard]] std::vector<HostFinding> look_at_host(const std::string& folder);

// Runs `program` with `arguments`, no input, for at most 20 s. Throws Error where it cannot be
// started.
struct ProgramResult {
  int exit_code = 0;      // 128 + the signal's number where one ended it
  std::string last_line;  // of what it said on either output; empty: nothing
};
[[nodiscard]] ProgramResult try_program(const std::string& program,
                                        const std::vector<std::string>& arguments);

}  // namespace imgtool
