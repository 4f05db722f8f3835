#include "imgtool/guest/work_folder.hpp"

#include <cerrno>
#include <filesystem>
#include <string_view>
#include <vector>

#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/error.hpp"

namespace imgtool::guest {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view folder_prefix = ".imgtool-work-";
constexpr std::string_view random_end = "XXXXXX";  // of mkdtemp()

io::FileDescriptor open_folder(const fs::path& folder) {
  return io::FileDescriptor(
      ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
}

bool is_ours(const io::FileDescriptor& folder) {
  struct stat found {};
  return fstat(folder.get(), &found) == 0 && found.st_uid == geteuid() &&
         (found.st_mode & ALLPERMS) == S_IRWXU;
}

// It stays locked until it is gone, so that a run which made it just now knows.
void remove_if_abandoned(const fs::path& folder) {
  const io::FileDescriptor lock = open_folder(folder);
  if (!lock || !is_ours(lock) || ::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) return;
  std::error_code ignored;
  fs::remove_all(folder, ignored);
}

void remove_abandoned(const fs::path& parent) {
  std::error_code error;
  std::vector<fs::path> folders;
  for (fs::directory_iterator entry(parent, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name.starts_with(folder_prefix) &&
        name.size() == folder_prefix.size() + random_end.size()) {
      folders.push_back(entry->path());
    }
  }
  for (const fs::path& folder : folders) remove_if_abandoned(folder);
}

// Locked from now on. False: before it was, another run took it for an abandoned one.
bool lock_folder(const io::FileDescriptor& folder) {
  // Some file systems (NFS) lock no folders; there, none is found to be abandoned.
  if (::flock(folder.get(), LOCK_EX | LOCK_NB) != 0) return errno != EWOULDBLOCK;
  struct stat found {};
  return fstat(folder.get(), &found) == 0 && found.st_nlink > 0;
}

}  // namespace

WorkFolder::WorkFolder(const std::string& parent) {
  remove_abandoned(parent);
  do {
    path_ = (fs::path(parent) / folder_prefix).string().append(random_end);
    if (::mkdtemp(path_.data()) == nullptr) {
      throw io::Error::system("making a work folder", parent, errno);
    }
    lock_ = open_folder(path_);
  } while (!lock_ || !lock_folder(lock_));
  path_ = fs::canonical(path_).string();
}

WorkFolder::~WorkFolder() {
  std::error_code ignored;  // the next run tries again
  fs::remove_all(path_, ignored);
}

std::uint64_t WorkFolder::room() const {
  std::error_code error;
  const auto space = fs::space(path_, error);
  return error ? 0 : space.available;
}

}  // namespace imgtool::guest
