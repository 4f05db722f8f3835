// An open file or block device: its descriptor, its name for messages, and what it is.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include <sys/types.h>

#include "io/byte_range.hpp"

namespace io {

// Owns a descriptor.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) noexcept : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept;
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  ~FileDescriptor();

  [[nodiscard]] int get() const noexcept { return fd_; }
  [[nodiscard]] explicit operator bool() const noexcept { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

// What a file is, whatever path leads to it: the device number of a block device, else the
// inode on its file system. Equal identities are the same bytes.
struct FileIdentity {
  bool block_device = false;
  dev_t device = 0;  // of the block device itself, or of the file system
  ino_t inode = 0;   // 0 for a block device
  friend bool operator==(const FileIdentity&, const FileIdentity&) = default;
};

enum class FileKind : std::uint8_t { regular, block_device, pipe, other };

struct FileStatus {
  FileKind kind = FileKind::other;
  FileIdentity identity;
  std::uint64_t size = 0;  // bytes; of a block device the device's; 0 for a pipe
  std::int64_t modified_ns = 0;
};

// How requests must lie for O_DIRECT. 1 where there is no O_DIRECT.
struct Alignment {
  std::uint32_t memory = 1;
  std::uint32_t offset = 1;  // of offsets and lengths
};

class File {
 public:
  File() = default;
  // `flags` as for open(2); O_CLOEXEC is added. Throws Error.
  File(std::string path, int flags, mode_t mode = 0644);
  // Takes over an open descriptor, such as standard input. `name` is for messages.
  File(FileDescriptor fd, std::string name) : fd_(std::move(fd)), path_(std::move(name)) {}

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] bool is_open() const noexcept { return static_cast<bool>(fd_); }

  [[nodiscard]] FileStatus status() const;
  [[nodiscard]] std::uint64_t size() const { return status().size; }

  // Turns O_DIRECT on, and tries it: some file systems take the flag and then refuse every
  // request. False, and off: there is none here.
  bool try_direct();
  // The rules of O_DIRECT here: STATX_DIOALIGN, else the logical sector, else 4096.
  [[nodiscard]] Alignment direct_alignment() const;

  // A part of a regular file or disk, for reading, as a file of its own: offsets and sizes are the
  // part's, locks and what the file is are the whole file's. What lies behind the file's end is no
  // part of it. `name` is for messages. Throws io::Error.
  [[nodiscard]] File window(ByteRange range, std::string name) const;
  // Where this begins in what fd() opens; 0 unless it is a window. Whoever uses fd() with offsets
  // adds it.
  [[nodiscard]] std::uint64_t window_offset() const noexcept { return window_.offset; }

  // Another opening of the same file, for reading; its path is not looked up again. Throws
  // io::Error.
  [[nodiscard]] File reopened() const;
  // As reopened(), past the page cache; not open where that cannot be had.
  [[nodiscard]] File opened_direct() const;
  // Whether most of a regular file is in the page cache, by samples. The kernel says yes, too,
  // where the file is neither ours nor ours to write. False for a disk: who reads one means the
  // medium.
  [[nodiscard]] bool mostly_cached() const;

  // These block, and throw Error. For headers and tables, not for bulk: that is the ring's.
  // Fills `buffer` unless the file ends first; gives the count. Throws, too, where nothing comes
  // before the end.
  std::size_t read_at(std::uint64_t offset, std::span<std::byte> buffer) const;
  void write_at(std::uint64_t offset, std::span<const std::byte> buffer) const;
  void truncate(std::uint64_t size) const;
  // The range reads as zeros then and takes no room; the length stays. False where the file system
  // cannot, and nothing has changed. Throws other errors.
  [[nodiscard]] bool punch_hole(ByteRange range) const;
  // All that was written is on the medium. Throws Error, also where the kernel would say only at
  // the close (NFS, FUSE) that it is not.
  void sync() const;

 private:
  void refuse_early_end(std::uint64_t offset) const;

  static constexpr ByteRange all{0, ~std::uint64_t{0}};

  FileDescriptor fd_;
  std::string path_;
  ByteRange window_ = all;
};

// The status of what `path` leads to, without opening it. Throws Error.
FileStatus status_of(const std::string& path);

// What `path` leads to, which need not be there yet: creating that file and creating `path` is the
// same to the kernel. Throws Error where links go round in circles.
std::string through_links(const std::string& path);

}  // namespace io
