#include "io/file.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <utility>

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/error.hpp"

namespace io {
namespace {

constexpr std::uint32_t safe_alignment = 4096;
constexpr int most_links = 40;  // as path_resolution(7) has it

constexpr std::uint64_t smallest_page = 4096;
constexpr std::uint64_t cache_sample = 64 * KiB;
constexpr std::uint64_t cache_samples = 64;

FileKind kind_of(mode_t mode) {
  if (S_ISREG(mode)) return FileKind::regular;
  if (S_ISBLK(mode)) return FileKind::block_device;
  if (S_ISFIFO(mode) || S_ISSOCK(mode)) return FileKind::pipe;
  return FileKind::other;
}

FileStatus status_from(const struct stat& found) {
  FileStatus status;
  status.kind = kind_of(found.st_mode);
  const bool block_device = status.kind == FileKind::block_device;
  status.identity = {block_device, block_device ? found.st_rdev : found.st_dev,
                     block_device ? 0 : found.st_ino};
  status.size = static_cast<std::uint64_t>(found.st_size);
  status.modified_ns = found.st_mtim.tv_sec * 1'000'000'000LL + found.st_mtim.tv_nsec;
  return status;
}

#ifdef STATX_DIOALIGN
// Linux 6.1; 0 in both fields says that this file has no O_DIRECT.
bool ask_statx(int fd, Alignment& alignment) {
  struct statx found {};
  if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &found) != 0) return false;
  if ((found.stx_mask & STATX_DIOALIGN) == 0 || found.stx_dio_offset_align == 0) return false;
  alignment = {found.stx_dio_mem_align, found.stx_dio_offset_align};
  return true;
}
#else
bool ask_statx(int, Alignment&) { return false; }
#endif

}  // namespace

FileDescriptor::FileDescriptor(FileDescriptor&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)) {}

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

FileDescriptor::~FileDescriptor() {
  if (fd_ >= 0) close(fd_);
}

File::File(std::string path, int flags, mode_t mode) : path_(std::move(path)) {
  const int fd = open(path_.c_str(), flags | O_CLOEXEC, mode);
  // Only a signal that asks to stop does that, while a pipe waits for its other end.
  if (fd < 0 && errno == EINTR) throw Error(ErrorKind::cancelled, path_, "stopped");
  if (fd < 0) throw Error::system("open", path_, errno);
  fd_ = FileDescriptor(fd);
}

FileStatus File::status() const {
  struct stat found {};
  if (fstat(fd(), &found) != 0) throw Error::system("stat", path_, errno);
  FileStatus status = status_from(found);
  if (status.kind == FileKind::block_device && ioctl(fd(), BLKGETSIZE64, &status.size) != 0) {
    throw Error::system("asking the size", path_, errno);
  }
  status.size = std::min(status.size - std::min(status.size, window_.offset), window_.length);
  return status;
}

bool File::try_direct() {
  const int flags = fcntl(fd(), F_GETFL);
  if (flags < 0) throw Error::system("fcntl", path_, errno);
  if (fcntl(fd(), F_SETFL, flags | O_DIRECT) != 0) return false;
  alignas(safe_alignment) std::array<std::byte, safe_alignment> block;
  if (pread(fd(), block.data(), block.size(), 0) >= 0 || errno != EINVAL) return true;
  fcntl(fd(), F_SETFL, flags & ~O_DIRECT);
  return false;
}

namespace {

FileDescriptor open_again(int fd) {
  const std::string name = "/proc/self/fd/" + std::to_string(fd);
  return FileDescriptor(open(name.c_str(), O_RDONLY | O_CLOEXEC));
}

}  // namespace

File File::reopened() const {
  File again(open_again(fd()), path_);
  if (!again.is_open()) throw Error::system("open", path_, errno);
  again.window_ = window_;
  return again;
}

File File::window(ByteRange range, std::string name) const {
  File part = reopened();
  part.path_ = std::move(name);
  part.window_ = {window_.offset + range.offset, range.length};
  return part;
}

File File::opened_direct() const {
  File again(open_again(fd()), path_);
  if (!again.is_open() || !again.try_direct()) return {};
  again.window_ = window_;
  return again;
}

bool File::mostly_cached() const {
  const FileStatus found = status();
  if (found.kind != FileKind::regular) return false;
  const auto page_size = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  const std::uint64_t begin = align_down(window_.offset, page_size);
  const std::uint64_t end = window_.offset + found.size;
  const std::uint64_t step =
      align_up(std::max(cache_sample, (end - begin) / cache_samples), page_size);
  std::array<unsigned char, cache_sample / smallest_page> pages{};
  std::size_t looked_at = 0;
  std::size_t cached = 0;
  for (std::uint64_t offset = begin; offset < end; offset += step) {
    const std::size_t length = std::min(cache_sample, end - offset);
    void* window = mmap(nullptr, length, PROT_READ, MAP_PRIVATE, fd(), static_cast<off_t>(offset));
    if (window == MAP_FAILED) return false;
    const bool known = mincore(window, length, pages.data()) == 0;
    munmap(window, length);
    if (!known) return false;
    const auto count = static_cast<std::ptrdiff_t>(align_up(length, page_size) / page_size);
    looked_at += static_cast<std::size_t>(count);
    cached += static_cast<std::size_t>(std::count_if(
        pages.begin(), pages.begin() + count, [](unsigned char page) { return (page & 1U) != 0; }));
  }
  return cached > looked_at / 2;
}

Alignment File::direct_alignment() const {
  Alignment alignment{safe_alignment, safe_alignment};
  if (ask_statx(fd(), alignment)) return alignment;
  int sector = 0;
  if (ioctl(fd(), BLKSSZGET, &sector) == 0 && sector > 0) {
    alignment.offset = static_cast<std::uint32_t>(sector);
  }
  return alignment;
}

// What looks like the end of the file must be: an image without its first bytes would be taken for
// a raw one.
void File::refuse_early_end(std::uint64_t offset) const {
  const FileStatus now = status();
  const bool has_size = now.kind == FileKind::regular || now.kind == FileKind::block_device;
  if (!has_size || offset >= now.size) return;
  throw Error::system("read (nothing came)", path_, EIO, ByteRange{offset, now.size - offset});
}

std::size_t File::read_at(std::uint64_t offset, std::span<std::byte> buffer) const {
  buffer = buffer.first(intersection({offset, buffer.size()}, {0, window_.length}).length);
  std::size_t done = 0;
  while (done < buffer.size()) {
    const ssize_t count = pread(fd(), buffer.data() + done, buffer.size() - done,
                                static_cast<off_t>(window_.offset + offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      throw Error::system("read", path_, errno, ByteRange{offset + done, buffer.size() - done});
    }
    if (count == 0) {
      refuse_early_end(offset + done);
      break;
    }
    done += static_cast<std::size_t>(count);
  }
  return done;
}

void File::write_at(std::uint64_t offset, std::span<const std::byte> buffer) const {
  std::size_t done = 0;
  while (done < buffer.size()) {
    const ssize_t count =
        pwrite(fd(), buffer.data() + done, buffer.size() - done, static_cast<off_t>(offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      throw Error::system("write", path_, count < 0 ? errno : EIO,
                          ByteRange{offset + done, buffer.size() - done});
    }
    done += static_cast<std::size_t>(count);
  }
}

void File::truncate(std::uint64_t size) const {
  if (ftruncate(fd(), static_cast<off_t>(size)) != 0) {
    throw Error::system("setting the length", path_, errno);
  }
}

bool File::punch_hole(ByteRange range) const {
  if (range.empty()) return true;
  const int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  int result = 0;
  do {
    result =
        fallocate(fd(), mode, static_cast<off_t>(range.offset), static_cast<off_t>(range.length));
  } while (result != 0 && errno == EINTR);
  if (result == 0) return true;
  if (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL) return false;
  throw Error::system("punching a hole", path_, errno);
}

void File::sync() const {
  if (fsync(fd()) != 0) throw Error::system("flush", path_, errno);
  // Closing a duplicate asks the file system as closing the last one does, and keeps the locks.
  const int duplicate = fcntl(fd(), F_DUPFD_CLOEXEC, 0);
  if (duplicate < 0) throw Error::system("duplicate", path_, errno);
  if (close(duplicate) != 0 && errno != EINTR) throw Error::system("close", path_, errno);
}

FileStatus status_of(const std::string& path) {
  struct stat found {};
  if (stat(path.c_str(), &found) != 0) throw Error::system("stat", path, errno);
  return status_from(found);
}

std::string through_links(const std::string& path) {
  std::filesystem::path name = path;
  std::error_code error;
  for (int links = 0; std::filesystem::is_symlink(name, error); ++links) {
    if (links == most_links) throw Error::system("follow the links", path, ELOOP);
    const auto target = std::filesystem::read_symlink(name, error);
    if (error) throw Error::system("follow the link", path, error.value());
    name = name.parent_path() / target;
  }
  return name.string();
}

}  // namespace io
