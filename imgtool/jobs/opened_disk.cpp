#include "imgtool/jobs/opened_disk.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "imgtool/terminal/signals.hpp"
#include "io/error.hpp"

namespace imgtool {

void refuse_stream(const formats::Image& image, const std::string& path) {
  if (image.seekable()) return;
  throw io::Error(io::ErrorKind::unsupported, path,
                  fmt::format("is a {} stream, which can be read only once, from its start; "
                              "unpack it first",
                              name_of(image.format())));
}

OpenedDisk::OpenedDisk(const std::string& path, formats::OpenOptions options, const JobOptions& job)
    : ring_(make_ring(job, 64)), workers_(std::max(1U, std::thread::hardware_concurrency())) {
  options.workers = &workers_;
  image_ = formats::open_image(*ring_, path, options);
  refuse_stream(*image_, path);
  files_ = std::make_unique<InnerFiles>(*ring_, *image_, stop_flag());
}

}  // namespace imgtool
