#include "imgtool/jobs/burn_medium.hpp"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sys/ioctl.h>

#include "io/error.hpp"
#include "io/file_source.hpp"

namespace imgtool {

WritableFile::WritableFile(io::Ring& ring, io::File& file, const MediumOptions& options)
    : ring_(ring), file_(file), target_(ring, file, options.capacity, options.writing) {
  if (options.content_size && *options.content_size > options.capacity) {
    clipped_.emplace(target_, *options.content_size);
  }
  if (!target_.direct()) reader_ = file.opened_direct();
}

io::Target& WritableFile::target() {
  if (clipped_) return *clipped_;
  return target_;
}

std::unique_ptr<io::Source> WritableFile::reader(std::uint64_t size) {
  io::File& file = reader_.is_open() ? reader_ : file_;
  return std::make_unique<io::FileSource>(ring_, file, size, reads_direct());
}

LoopDirectMode::LoopDirectMode(int fd) : fd_(fd) {
  const auto mode = [fd]() -> std::optional<bool> {
    loop_info64 info{};
    if (ioctl(fd, LOOP_GET_STATUS64, &info) != 0) return std::nullopt;  // no loop device
    return (info.lo_flags & LO_FLAGS_DIRECT_IO) != 0;
  };
  if (mode().value_or(true)) return;
  switched_ = ioctl(fd, LOOP_SET_DIRECT_IO, 1UL) == 0;
  past_cache_ = mode().value_or(false);
}

LoopDirectMode::~LoopDirectMode() {
  if (switched_) ioctl(fd_, LOOP_SET_DIRECT_IO, 0UL);
}

DeviceMedium::DeviceMedium(io::Ring& ring, io::File& device, const MediumOptions& options)
    : device_(device),
      loop_(device.fd()),
      file_(ring, device, options),
      cache_dropped_(drop_cache()) {}

// Needs root.
bool DeviceMedium::drop_cache() { return ioctl(device_.fd(), BLKFLSBUF, 0) == 0; }

std::unique_ptr<io::Source> DeviceMedium::read_back(std::uint64_t size) {
  cache_dropped_ = drop_cache();
  return file_.reader(size);
}

bool DeviceMedium::reads_past_cache() const {
  return loop_.past_cache() && (file_.reads_direct() || cache_dropped_);
}

std::string DeviceMedium::finish(std::uint64_t) {
  // Without partitions there is nothing to re-read (EINVAL), which is fine.
  if (ioctl(device_.fd(), BLKRRPART) != 0 && errno != EINVAL) {
    return fmt::format("the kernel did not re-read its partition table: {}", io::errno_text(errno));
  }
  return "";
}

FileMedium::FileMedium(io::Ring& ring, io::File& file, io::OutputFile* output,
                       std::uint64_t least_size, const MediumOptions& options)
    : plain_(file), output_(output), least_size_(least_size), file_(ring, file, options) {}

std::unique_ptr<io::Source> FileMedium::read_back(std::uint64_t size) {
  // What is not there yet reads as zeros, as it will be once the file has its length.
  if (plain_.size() < size) plain_.truncate(size);
  posix_fadvise(plain_.fd(), 0, 0, POSIX_FADV_DONTNEED);
  return file_.reader(size);
}

// Whole sectors were written, so a file's last one may reach beyond its end.
void FileMedium::settle(std::uint64_t size) { plain_.truncate(std::max(least_size_, size)); }

std::string FileMedium::finish(std::uint64_t size) {
  settle(size);
  if (output_ != nullptr) {
    output_->publish();
  } else {
    plain_.sync();
  }
  return "";
}

}  // namespace imgtool
