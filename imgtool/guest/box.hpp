// A box: where a file system's own program works on one volume of a hostile image, and reaches
// nothing else, whatever the image makes of it.
//
// Each command has a box of its own: namespaces of mounts, processes, network, IPC and host name
// (of users, too, where we are not root), another user, whom nobody else is, without any
// capability, and a root folder with nothing in it but programs and libraries, read only,
// /dev/null, and the volumes that the command names, as files (io/file_view.hpp). Landlock, a list
// of system calls, and limits of memory, processor time, open files and output stand before what is
// left. All that it started ends with the command, with the time limit, with Ctrl-C, and with this
// process, however that dies.
//
// It is never left out: where there can be none, run() throws, and why_not() says why.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "imgtool/guest/shell.hpp"
#include "io/file_view.hpp"
#include "io/observer.hpp"
#include "io/ring.hpp"

namespace imgtool::guest {

struct BoxOptions {
  // Seen inside in the same places; those that are not there are left out.
  std::vector<std::string> folders = {"/usr", "/bin", "/sbin", "/lib", "/lib64", "/lib32"};
  std::string path = "/usr/sbin:/usr/bin:/sbin:/bin";
  std::chrono::seconds time_limit{1800};
  std::uint64_t memory = 0;  // bytes of address space a process; 0: half of what the machine has
};

// A volume, as the command finds it.
struct BoxFile {
  std::string name;  // in /view
  io::ViewContent content;
};

// Code of a command that a signal ended, plus the signal's number: as a shell says it.
inline constexpr int signal_codes = 128;

class Box {
 public:
  // `ring` serves the files, on this thread. Both outlive the box.
  Box(io::Ring& ring, const io::StopFlag& stop, BoxOptions options = {});

  // Why commands cannot be run in one here: a clause; "" where they can. Tries it, once.
  [[nodiscard]] std::string why_not();

  // Runs a line of sh. Throws io::Error where there is no box, for what the files' sources and
  // targets throw, when the time is over, and when it is to stop; a command that fails is a result.
  CommandResult run(const std::string& command, std::span<const BoxFile> files);

  // Whether a program of this name is inside.
  [[nodiscard]] bool has_program(const std::string& name) const;

 private:
  io::Ring& ring_;
  const io::StopFlag& stop_;
  const BoxOptions options_;
};

}  // namespace imgtool::guest
