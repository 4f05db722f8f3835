#include "io/output_folder.hpp"

#include <cerrno>
#include <cstdio>
#include <filesystem>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/error.hpp"

namespace io {

OutputFolder::OutputFolder(const std::string& path) : path_(path) {
  while (path_.size() > 1 && path_.ends_with('/')) path_.pop_back();
  partial_path_ = path_ + ".imgtool-partial";
  struct stat found {};
  if (lstat(path_.c_str(), &found) == 0) {
    throw Error::refusal(path_, "exists already; name a folder that does not");
  }
  if (errno != ENOENT) throw Error::system("stat", path_, errno);
  if (mkdir(partial_path_.c_str(), 0700) != 0) {
    if (errno == EEXIST) {
      throw Error::refusal(partial_path_,
                           "another imgtool fills it, or one was killed: then remove it");
    }
    throw Error::system("mkdir", partial_path_, errno);
  }
  folder_ =
      FileDescriptor(open(partial_path_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!folder_) {
    const int error = errno;
    rmdir(partial_path_.c_str());
    throw Error::system("open", partial_path_, error);
  }
}

OutputFolder::~OutputFolder() {
  if (published_) return;
  std::error_code ignored;
  std::filesystem::remove_all(partial_path_, ignored);  // follows no links
}

void OutputFolder::publish() {
  if (syncfs(folder_.get()) != 0) throw Error::system("flush", partial_path_, errno);
  const char* from = partial_path_.c_str();
  const char* to = path_.c_str();
  if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) != 0) {
    if (errno == EEXIST) throw Error::refusal(path_, "appeared meanwhile");
    // rename() replaces no file and no folder that has something in it by a folder.
    if ((errno != EINVAL && errno != ENOSYS) || std::rename(from, to) != 0) {
      throw Error::system("rename", partial_path_, errno);
    }
  }
  published_ = true;
}

}  // namespace io
