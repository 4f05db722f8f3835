#include "io/output_file.hpp"

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <thread>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/error.hpp"

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

// Whoever had it locked before us may have renamed it meanwhile.
bool still_has_name(const File& file) {
  struct stat named {};
  const bool exists = stat(file.path().c_str(), &named) == 0;
  return exists && file.status().identity == FileIdentity{false, named.st_dev, named.st_ino};
}

// Some file systems (cifs, some of FUSE) have nothing to flush in a directory and say EINVAL.
void sync_directory_of(const std::string& path) {
  const auto parent = std::filesystem::path(path).parent_path();
  const File directory(parent.empty() ? "." : parent.string(), O_RDONLY | O_DIRECTORY);
  if (fsync(directory.fd()) != 0 && errno != EINVAL) {
    throw Error::system("flush", directory.path(), errno);
  }
}

}  // namespace

std::string OutputFile::partial_path_of(const std::string& path) {
  return resolved(path) + ".imgtool-partial";
}

OutputFile::OutputFile(const std::string& path, bool replace, Start start)
    : path_(resolved(path)),
      partial_path_(partial_path_of(path)),
      replace_(replace),
      keep_(start == Start::resume) {
  std::error_code error;
  const auto status = std::filesystem::status(path_, error);
  in_place_ = start == Start::resume && !std::filesystem::exists(partial_path_) &&
              std::filesystem::is_regular_file(status);
  if (in_place_) partial_path_ = path_;
  if (std::filesystem::exists(status)) {
    if (!std::filesystem::is_regular_file(status)) {
      throw Error(ErrorKind::refused, path_, "is not a regular file, so it is not replaced");
    }
    if (!replace && !in_place_) {
      throw Error(ErrorKind::refused, path_, "exists already; --force replaces it");
    }
  }
  const int flags = O_RDWR | O_NOFOLLOW | (start == Start::empty ? O_CREAT : 0);
  file_ = File(partial_path_, flags, 0666);
  lock();
  if (start == Start::resume) return;
  refuse_other_names();
  file_.truncate(0);
}

// One of ours has no other name; what somebody else linked to would be lost.
void OutputFile::refuse_other_names() const {
  struct stat found {};
  if (fstat(file_.fd(), &found) == 0 && found.st_nlink <= 1) return;
  throw Error(ErrorKind::refused, partial_path_,
              "has another name, so it is not what an earlier run left; remove this one");
}

void OutputFile::lock() {
  // The kernel lets go of a killed io_uring job's files only some time after it is gone.
  const auto deadline = std::chrono::steady_clock::now() + lock_patience;
  while (flock(file_.fd(), LOCK_EX | LOCK_NB) != 0) {
    if (std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(lock_retry_pause);
      continue;
    }
    throw Error(ErrorKind::refused, partial_path_, "another imgtool is writing it");
  }
  if (!still_has_name(file_)) {
    throw Error(ErrorKind::refused, partial_path_, "another imgtool has just finished it");
  }
}

OutputFile::~OutputFile() {
  if (!published_ && !keep_ && !in_place_) unlink(partial_path_.c_str());
}

// As far as we may: only root gives files away.
void OutputFile::take_over_mode() const {
  struct stat old {};
  if (in_place_ || stat(path_.c_str(), &old) != 0) return;
  (void)!fchown(file_.fd(), old.st_uid, old.st_gid);
  fchmod(file_.fd(), old.st_mode & 07777U);
}

void OutputFile::publish() {
  take_over_mode();
  file_.sync();
  if (in_place_) return;
  if (!replace_ && access(path_.c_str(), F_OK) == 0) {
    throw Error(ErrorKind::refused, path_, "appeared meanwhile; --force replaces it");
  }
  if (std::rename(partial_path_.c_str(), path_.c_str()) != 0) {
    throw Error::system("rename", partial_path_, errno);
  }
  published_ = true;
  sync_directory_of(path_);
}

}  // namespace io
