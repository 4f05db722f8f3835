#include "imgtool/guest/work_folder.hpp"

#include <cerrno>
#include <filesystem>
#include <string_view>
#include <vector>

#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>

#include "io/error.hpp"

namespace imgtool::guest {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view folder_prefix = ".imgtool-work-";
constexpr const char* lock_name = "lock";

bool is_abandoned(const fs::path& folder) {
  const io::FileDescriptor lock(
      ::open((folder / lock_name).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  return lock && ::flock(lock.get(), LOCK_EX | LOCK_NB) == 0;
}

void remove_abandoned(const fs::path& parent) {
  std::error_code error;
  std::vector<fs::path> left;
  for (fs::directory_iterator entry(parent, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->path().filename().string().starts_with(folder_prefix) &&
        entry->is_directory(error) && !entry->is_symlink(error) && is_abandoned(entry->path())) {
      left.push_back(entry->path());
    }
  }
  for (const fs::path& folder : left) fs::remove_all(folder, error);
}

}  // namespace

WorkFolder::WorkFolder(const std::string& parent) {
  remove_abandoned(parent);
  std::string name = (fs::path(parent) / folder_prefix).string() + "XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) {
    throw io::Error::system("making a work folder", parent, errno);
  }
  path_ = fs::canonical(name).string();
  lock_ = io::File(file(lock_name), O_RDWR | O_CREAT | O_EXCL, 0600);
  if (::flock(lock_.fd(), LOCK_EX | LOCK_NB) != 0) {
    throw io::Error::system("lock", lock_.path(), errno);
  }
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
