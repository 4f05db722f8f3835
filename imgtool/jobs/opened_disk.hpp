// An image whose file systems are to be looked into. What can only be read from its start is
// unpacked first.
#pragma once

#include <memory>
#include <string>
#include <thread>

#include "formats/images/image.hpp"
#include "imgtool/jobs/inner_files.hpp"
#include "imgtool/jobs/job.hpp"

namespace imgtool {

class OpenedDisk {
 public:
  // Throws io::Error.
  OpenedDisk(const std::string& path, formats::OpenOptions options, const JobOptions& job);

  [[nodiscard]] io::Ring& ring() { return *ring_; }
  [[nodiscard]] formats::Image& image() { return *image_; }
  [[nodiscard]] InnerFiles& files() { return *files_; }

 private:
  std::unique_ptr<io::Ring> ring_;
  io::WorkerPool workers_;
  std::unique_ptr<formats::Image> image_;
  std::unique_ptr<InnerFiles> files_;
};

}  // namespace imgtool
