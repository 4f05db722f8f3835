#include "io/unnamed_file.hpp"

#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include <fcntl.h>

#include "io/error.hpp"

namespace io {

FileDescriptor make_unnamed_file(const std::string& folder) {
  const int fd = open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd >= 0) return FileDescriptor(fd);
  if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL) {
    throw Error::system("making a file", folder, errno);
  }
  std::string name = folder + "/imgtool-XXXXXX";
  const int named = mkostemp(name.data(), O_CLOEXEC);
  if (named < 0) throw Error::system("making a file", folder, errno);
  unlink(name.c_str());
  return FileDescriptor(named);
}

std::uint64_t room_in(const std::string& folder) {
  struct statvfs found {};
  if (statvfs(folder.c_str(), &found) != 0) throw Error::system("statvfs", folder, errno);
  return static_cast<std::uint64_t>(found.f_bavail) * found.f_frsize;
}

}  // namespace io
