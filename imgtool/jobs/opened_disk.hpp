// An image whose file systems are to be looked into: a disk that can be read at any place.
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
  // Throws io::Error, also for a stream.
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

// Throws where `image` is a stream, which cannot be looked into.
void refuse_stream(const formats::Image& image, const std::string& path);

}  // namespace imgtool
