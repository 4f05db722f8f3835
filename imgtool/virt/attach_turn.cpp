#include "imgtool/virt/attach_turn.hpp"

#include <cerrno>

#include <fcntl.h>
#include <sys/file.h>

#include "imgtool/signals.hpp"
#include "io/error.hpp"

namespace imgtool::virt {

AttachTurn::AttachTurn(const std::string& lock)
    : file_(::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)) {
  if (!file_) return;
  while (::flock(file_.get(), LOCK_EX) != 0) {
    if (errno != EINTR) return;  // a file system without locks
    if (stop_flag().load() != 0) {
      throw io::Error(io::ErrorKind::cancelled, lock, "stopped while another attach was under way");
    }
  }
}

}  // namespace imgtool::virt
