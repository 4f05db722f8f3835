#include "imgtool/jobs/checked_file.hpp"

#include <cerrno>

#include <fcntl.h>
#include <fmt/format.h>

#include "io/devices/system_roots.hpp"
#include "io/error.hpp"

namespace imgtool {
namespace {

[[noreturn]] void refuse(const std::string& path) {
  throw io::Error::refusal(path, "became something else while it was opened");
}

}  // namespace

io::File open_as_seen(const std::string& path, const io::FileStatus& seen, int flags) {
  const std::string place = io::through_links(path);
  const int fd = ::open(place.c_str(), flags | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0 && errno == ELOOP) refuse(path);
  if (fd < 0) {
    const int error_number = errno;
    if (error_number == ENOENT) refuse_deleted(path);
    throw io::Error::system("open", path, error_number);
  }
  io::File file(io::FileDescriptor(fd), path);
  const io::FileStatus opened = file.status();
  const bool same_size = seen.kind != io::FileKind::regular || opened.size == seen.size;
  if (opened.kind != seen.kind || opened.identity != seen.identity || !same_size) refuse(path);
  return file;
}

void refuse_deleted(const std::string& path) {
  if (!io::exists(path) || io::exists(io::through_links(path))) return;
  throw io::Error::refusal(path,
                           "has no name any more, since it was deleted: what is written there is "
                           "gone when no program has it open; name a file that stays");
}

std::string path_of_open(const io::File& file) {
  return fmt::format("/proc/self/fd/{}", file.fd());
}

}  // namespace imgtool
