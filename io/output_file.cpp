#include "io/output_file.hpp"

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <thread>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/error.hpp"
#include "io/image_lock.hpp"

namespace io {
namespace {

constexpr std::chrono::seconds lock_patience{2};
constexpr std::chrono::milliseconds lock_retry_pause{20};

// Through links, so that replacing changes what they lead to and not the links.
std::string resolved(const std::string& path) {
  const std::string name = through_links(path);
  std::error_code error;
  const auto canonical = std::filesystem::canonical(name, error);
  return error ? name : canonical.string();
}

// Whether `path` leads to this file, which another process may have renamed meanwhile; nothing
// where that cannot be found out, with errno.
std::optional<bool> leads_to(const std::string& path, int fd) {
  struct stat named {};
  struct stat opened {};
  if (fstat(fd, &opened) != 0) return std::nullopt;
  if (stat(path.c_str(), &named) != 0) {
    return errno == ENOENT ? std::optional(false) : std::nullopt;
  }
  return named.st_dev == opened.st_dev && named.st_ino == opened.st_ino;
}

// The status of what has the name now; false: nothing has.
bool find(const std::string& path, struct stat& found) {
  if (stat(path.c_str(), &found) == 0) return true;
  if (errno == ENOENT) return false;
  throw Error::system("stat", path, errno);
}

mode_t current_umask() {
  const mode_t mask = umask(0);
  umask(mask);
  return mask;
}

bool has_no_directory_flush(int error_number) {
  return error_number == EINVAL || error_number == EOPNOTSUPP || error_number == ENOSYS ||
         error_number == ENOTTY || error_number == EBADF;
}

// Makes a name last. Some file systems (cifs, some of FUSE) have nothing to flush in a directory,
// and one that may be written to may still not be read (mode 0733): then there is no way to.
void sync_directory_of(const std::string& path) {
  const auto parent = std::filesystem::path(path).parent_path();
  const std::string name = parent.empty() ? "." : parent.string();
  const FileDescriptor directory(open(name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) {
    if (errno == EACCES || errno == EPERM) return;
    throw Error::system("open", name, errno);
  }
  if (fsync(directory.get()) != 0 && !has_no_directory_flush(errno)) {
    throw Error::system("flush", name, errno);
  }
}

}  // namespace

std::string OutputFile::partial_path_of(const std::string& path) {
  return resolved(path) + ".imgtool-partial";
}

OutputFile::OutputFile(const std::string& path, bool replace, Start start, mode_t mode)
    : path_(resolved(path)),
      partial_path_(partial_path_of(path)),
      replace_(replace),
      keep_(start == Start::resume) {
  std::error_code error;
  const auto status = std::filesystem::status(path_, error);
  if (!std::filesystem::status_known(status)) throw Error::system("stat", path_, error.value());
  in_place_ = start == Start::resume && !std::filesystem::exists(partial_path_) &&
              std::filesystem::is_regular_file(status);
  if (in_place_) partial_path_ = path_;
  look_at_old(std::filesystem::exists(status));
  if (start == Start::resume) {
    file_ = File(partial_path_, O_RDWR | O_NOFOLLOW);
    lock();
    if (!in_place_) refuse_foreign();
    return;
  }
  open_partial(mode);
}

// What another program has open as an image, such as a virtual machine, would go on with a file
// that has no name any more.
void OutputFile::look_at_old(bool exists) {
  if (!exists) return;
  if (status_of(path_).kind != FileKind::regular) {
    throw Error::refusal(path_, "is not a regular file, so it is not replaced");
  }
  if (!replace_ && !in_place_) throw Error::refusal(path_, "exists already; --force replaces it");
  FileDescriptor fd(open(path_.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) {
    // It may be replaced by one who may not read it; it may be gone by now.
    if (errno == EACCES || errno == EPERM || errno == ENOENT) return;
    throw Error::system("open", path_, errno);
  }
  old_ = File(std::move(fd), path_);
  lock_image(old_, ImageUse::writing);
}

void OutputFile::open_partial(mode_t mode) {
  struct stat old {};
  const bool replaces = find(path_, old);
  if (replaces) mode = (old.st_mode & 0777U) | S_IRUSR | S_IWUSR;
  const bool created = try_create(mode);
  if (!created) file_ = File(partial_path_, O_RDWR | O_NOFOLLOW);
  try {
    lock();
  } catch (const Error& error) {
    const bool taken = error.kind() == ErrorKind::refused;  // by another run, meanwhile
    if (created && !taken && leads_to(partial_path_, file_.fd()).value_or(false)) {
      unlink(partial_path_.c_str());
    }
    throw;
  }
  if (created && !replaces) return;
  if (!created) {
    refuse_foreign();
    file_.truncate(0);
  }
  // As it would be if it were new; the umask has nothing to say about one that is replaced.
  fchmod(file_.fd(), replaces ? mode : mode & ~current_umask());
}

// False: there is one already.
bool OutputFile::try_create(mode_t mode) {
  const int flags = O_RDWR | O_NOFOLLOW | O_CREAT | O_EXCL | O_CLOEXEC;
  FileDescriptor fd(open(partial_path_.c_str(), flags, mode));
  if (!fd && errno != EEXIST) throw Error::system("open", partial_path_, errno);
  if (!fd) return false;
  file_ = File(std::move(fd), partial_path_);
  return true;
}

// One of ours belongs to this user and has no other name: what another user prepared would stay
// theirs to read and to change, and what another program linked to would be lost.
void OutputFile::refuse_foreign() const {
  struct stat found {};
  if (fstat(file_.fd(), &found) != 0) throw Error::system("stat", partial_path_, errno);
  if (found.st_nlink > 1) {
    throw Error::refusal(
        partial_path_, "has another name, so it is not what an earlier run left; remove this one");
  }
  if (found.st_uid != geteuid()) {
    throw Error::refusal(partial_path_,
                         "was made by another user (" + std::to_string(found.st_uid) +
                             "), so it is not what an earlier run of this one left; remove it");
  }
}

void OutputFile::lock() {
  // The kernel lets go of a killed io_uring job's files only some time after it is gone.
  const auto deadline = std::chrono::steady_clock::now() + lock_patience;
  while (flock(file_.fd(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (means_no_locks(errno)) return;
    if (errno != EWOULDBLOCK) throw Error::system("lock", partial_path_, errno);
    if (std::chrono::steady_clock::now() >= deadline) {
      throw Error::refusal(partial_path_, "another imgtool is writing it");
    }
    std::this_thread::sleep_for(lock_retry_pause);
  }
  locked_ = true;
  const auto named = leads_to(partial_path_, file_.fd());
  if (!named) throw Error::system("stat", partial_path_, errno);
  if (!*named) {
    throw Error::refusal(partial_path_, "another imgtool has just finished it");
  }
}

OutputFile::~OutputFile() {
  if (!published_ && !keep_ && !in_place_) unlink(partial_path_.c_str());
}

// As far as we may: only root gives files away.
void OutputFile::take_over_mode() const {
  struct stat old {};
  if (in_place_ || !find(path_, old)) return;
  (void)!fchown(file_.fd(), old.st_uid, old.st_gid);
  fchmod(file_.fd(), old.st_mode & 07777U);
}

void OutputFile::publish() {
  take_over_mode();
  file_.sync();
  if (in_place_) return;
  give_name();
  published_ = true;
  sync_directory_of(path_);
}

void OutputFile::give_name() const {
  const char* from = partial_path_.c_str();
  const char* to = path_.c_str();
  const auto appeared = [this] {
    return Error::refusal(path_, "appeared meanwhile; --force replaces it");
  };
  if (!replace_) {
    // In one step, so that a file that another program makes in this moment is not lost.
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) return;
    if (errno == EEXIST) throw appeared();
    if (errno != EINVAL && errno != ENOSYS) throw Error::system("rename", partial_path_, errno);
    // The file system cannot do that. A link is one step, too.
    if (link(from, to) == 0) {
      unlink(from);
      return;
    }
    if (errno == EEXIST || access(to, F_OK) == 0) throw appeared();
  }
  if (std::rename(from, to) != 0) throw Error::system("rename", partial_path_, errno);
}

}  // namespace io
