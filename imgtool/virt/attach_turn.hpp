// One attach at a time on this host, from the look at all domains to libvirt's answer: two at the
// same moment would both find the disk free, and libvirt gives it to both.
//
// Among those who may write in /run, that is root's; for another user there is no turn to wait for.
#pragma once

#include <string>

#include "io/file.hpp"

namespace imgtool::virt {

class AttachTurn {
 public:
  // Waits. Throws io::Error when a signal ends that.
  explicit AttachTurn(const std::string& lock = "/run/imgtool-attach.lock");

 private:
  io::FileDescriptor file_;  // closing it ends the turn
};

}  // namespace imgtool::virt
