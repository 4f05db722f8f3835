#include "io/image_lock.hpp"

#include <cerrno>
#include <chrono>
#include <initializer_list>
#include <thread>

#include <fcntl.h>

#include "io/error.hpp"

namespace io {
namespace {

// Permissions, in QEMU's order: consistent read, write, write unchanged, resize.
constexpr off_t in_use = 100;      // + permission: used by the holder
constexpr off_t not_shared = 200;  // + permission: not left to others by the holder
constexpr off_t write = 1;
constexpr off_t permissions = 4;

constexpr std::chrono::milliseconds patience{300};
constexpr std::chrono::milliseconds retry_pause{20};

struct Bytes {
  off_t first;
  off_t count;
};

// What `use` needs, of which a reader has the first permission and a writer all.
off_t used(ImageUse use) { return use == ImageUse::writing ? permissions : 1; }
constexpr Bytes writers{in_use + write, permissions - write};

struct flock lock_of(Bytes bytes, short type) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = bytes.first;
  lock.l_len = bytes.count;
  return lock;
}

// 0, or the error.
int ask(int fd, int command, struct flock& lock) {
  while (fcntl(fd, command, &lock) != 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

bool held_by_others(int fd, Bytes bytes, const std::string& name) {
  struct flock lock = lock_of(bytes, F_WRLCK);
  const int error_number = ask(fd, F_OFD_GETLK, lock);
  if (error_number == 0) return lock.l_type != F_UNLCK;
  if (means_no_locks(error_number)) return false;
  throw Error::system("asking for locks", name, error_number);
}

int take(int fd, Bytes bytes) {
  struct flock lock = lock_of(bytes, F_RDLCK);
  return ask(fd, F_OFD_SETLK, lock);
}

void release(int fd) {
  struct flock lock = lock_of({in_use, not_shared - in_use + permissions}, F_UNLCK);
  ask(fd, F_OFD_SETLK, lock);
}

bool excluded_by_others(int fd, ImageUse use, const std::string& name) {
  return held_by_others(fd, writers, name) || held_by_others(fd, {not_shared, used(use)}, name);
}

// A program that locks with other means than QEMU's may hold a write lock.
enum class Attempt : std::uint8_t { taken, excluded, no_locks };

Attempt attempt(const File& file, ImageUse use) {
  const Bytes shares_not{not_shared + write, permissions - write};
  for (const Bytes bytes : {Bytes{in_use, used(use)}, shares_not}) {
    const int error_number = take(file.fd(), bytes);
    if (error_number == 0) continue;
    release(file.fd());
    if (error_number == EAGAIN || error_number == EACCES) return Attempt::excluded;
    if (means_no_locks(error_number)) return Attempt::no_locks;
    throw Error::system("lock", file.path(), error_number);
  }
  if (!excluded_by_others(file.fd(), use, file.path())) return Attempt::taken;
  release(file.fd());
  return Attempt::excluded;
}

const char* reason(ImageUse use) {
  return use == ImageUse::writing
             ? "is in use: another program, such as a virtual machine, a repair or a resize, has "
               "it locked; stop that first"
             : "is being written: another program, such as a virtual machine, has it locked; stop "
               "that first";
}

}  // namespace

// NFS without its lock daemon, Lustre and FUSE without locks, file systems of old kernels.
bool means_no_locks(int error_number) {
  return error_number == ENOLCK || error_number == ENOSYS || error_number == EOPNOTSUPP ||
         error_number == EINVAL || error_number == EBADF;
}

bool excluded_by_others(int fd, ImageUse use) { return excluded_by_others(fd, use, "the image"); }

bool lock_image(const File& file, ImageUse use, std::string_view way_past) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (true) {
    switch (attempt(file, use)) {
      case Attempt::taken:
        return true;
      case Attempt::no_locks:
        return false;
      case Attempt::excluded:
        break;
    }
    if (std::chrono::steady_clock::now() >= deadline) {
      throw Error::refusal(file.path(), std::string(reason(use)).append(way_past));
    }
    std::this_thread::sleep_for(retry_pause);
  }
}

}  // namespace io
