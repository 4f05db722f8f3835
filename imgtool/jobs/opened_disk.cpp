#include "imgtool/jobs/opened_disk.hpp"

#include <algorithm>

#include "imgtool/terminal/signals.hpp"

namespace imgtool {

OpenedDisk::OpenedDisk(const std::string& path, formats::OpenOptions options, const JobOptions& job)
    : ring_(make_ring(job, 64)), workers_(std::max(1U, std::thread::hardware_concurrency())) {
  options.workers = &workers_;
  options.any_place = true;
  image_ = formats::open_image(*ring_, path, options);
  files_ = std::make_unique<InnerFiles>(*ring_, *image_, stop_flag());
}

}  // namespace imgtool
