#include "imgtool/virt/attach_turn.hpp"

#include <cerrno>

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "imgtool/terminal/signals.hpp"
#include "io/error.hpp"

namespace imgtool::virt {
namespace {

constexpr mode_t for_group = 0660;

// Those of `group` may take turns with root. What fails here costs them their turns, and they say
// so themselves.
void share(int fd, const char* group) {
  struct stat found {};
  if (::geteuid() != 0 || ::fstat(fd, &found) != 0 || found.st_uid != 0) return;
  const struct group* entry = ::getgrnam(group);
  if (entry == nullptr) return;
  const bool shared = found.st_gid == entry->gr_gid && (found.st_mode & for_group) == for_group;
  if (shared || ::fchown(fd, 0, entry->gr_gid) != 0) return;
  (void)::fchmod(fd, for_group);
}

std::string no_turn(const std::string& lock, int error) {
  const bool not_ours = error == EACCES || error == EPERM;
  return fmt::format(
      "another attach at the same moment would not be noticed: {}: {}{}", lock,
      io::errno_text(error),
      not_ours
          ? "; \"sudo systemd-tmpfiles --create imgtool.conf\" makes it for the group libvirt, as "
            "each boot does where imgtool is installed; so does root's first attach"
          : "");
}

}  // namespace

AttachTurn::AttachTurn(const std::string& lock, const char* group)
    : file_(::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)) {
  if (!file_) {
    note_ = no_turn(lock, errno);
    return;
  }
  share(file_.get(), group);
  while (::flock(file_.get(), LOCK_EX) != 0) {
    if (errno != EINTR) {
      note_ = no_turn(lock, errno);
      return;
    }
    if (stop_flag().load() != 0) {
      throw io::Error(io::ErrorKind::cancelled, lock, "stopped while another attach was under way");
    }
  }
}

}  // namespace imgtool::virt
