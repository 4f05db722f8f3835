// A loop device over a file, with the logical sector that a test wants. Needs root; detached
// when the object ends, or the process does.
#pragma once

#include <cerrno>
#include <memory>
#include <string>

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>

#include "io/file.hpp"

namespace io {

class LoopDevice {
 public:
  // Null where loop devices cannot be made.
  static std::unique_ptr<LoopDevice> make(const File& backing, unsigned sector) {
    const FileDescriptor control(open("/dev/loop-control", O_RDWR | O_CLOEXEC));
    if (!control) return nullptr;
    for (int attempt = 0; attempt < 20; ++attempt) {  // others may take the free one first
      const int number = ioctl(control.get(), LOOP_CTL_GET_FREE);
      if (number < 0) return nullptr;
      std::string path = "/dev/loop" + std::to_string(number);
      FileDescriptor device(open(path.c_str(), O_RDWR | O_CLOEXEC));
      if (!device) return nullptr;
      loop_config config{};
      config.fd = static_cast<unsigned>(backing.fd());
      config.block_size = sector;
      config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
      if (ioctl(device.get(), LOOP_CONFIGURE, &config) == 0) {
        return std::unique_ptr<LoopDevice>(new LoopDevice(std::move(device), std::move(path)));
      }
      if (errno != EBUSY) return nullptr;
    }
    return nullptr;
  }
  LoopDevice(const LoopDevice&) = delete;
  LoopDevice& operator=(const LoopDevice&) = delete;
  ~LoopDevice() { ioctl(device_.get(), LOOP_CLR_FD); }

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  LoopDevice(FileDescriptor device, std::string path)
      : device_(std::move(device)), path_(std::move(path)) {}

  FileDescriptor device_;
  std::string path_;
};

}  // namespace io
