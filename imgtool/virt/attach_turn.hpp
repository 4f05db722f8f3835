// One attach at a time on this host, from the look at all domains to libvirt's answer: two at the
// same moment would both find the disk free, and libvirt gives it to both.
//
// Among root and the members of the group that may use libvirt: systemd-tmpfiles makes the lock at
// each boot (tmpfiles.conf), else root's first run, and lets the group have it. Others could hold
// it for ever, so they cannot open it.
#pragma once

#include <string>

#include "io/file.hpp"

namespace imgtool::virt {

class AttachTurn {
 public:
  // Waits. Where no turn can be had there is a note, and no failure. Throws io::Error when a signal
  // ends the wait.
  explicit AttachTurn(const std::string& lock = "/run/imgtool-attach.lock",
                      const char* group = "libvirt");

  // Why no turn was taken; "": it was.
  [[nodiscard]] const std::string& note() const noexcept { return note_; }

 private:
  io::FileDescriptor file_;  // closing it ends the turn
  std::string note_;
};

}  // namespace imgtool::virt
