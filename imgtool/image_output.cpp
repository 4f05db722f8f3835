#include "imgtool/image_output.hpp"

#include <algorithm>
#include <thread>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/probe.hpp"
#include "formats/zst/target.hpp"
#include "imgtool/output_path.hpp"
#include "io/device_usage.hpp"
#include "io/error.hpp"
#include "io/system_roots.hpp"
#include "io/task_group.hpp"

namespace imgtool {
namespace {

using formats::Format;
using formats::qcow2::Preallocation;

constexpr unsigned most_threads = 256;
constexpr std::uint64_t most_output_memory = 128 * io::MiB;
// An encoder's lanes wait for each other's turn: so many more than threads keep these busy.
constexpr unsigned lanes_per_thread = 2;
constexpr unsigned spare_lanes = 8;

}  // namespace

OptionValue threads_into(unsigned& threads) {
  threads = std::clamp(std::thread::hardware_concurrency(), 1U, most_threads);
  OptionValue value = count_into(threads, 1, most_threads);
  value.default_text = "one per core";
  return value;
}

io::File standard_output() {
  if (isatty(STDOUT_FILENO) != 0) {
    throw io::Error(io::ErrorKind::refused, "standard output",
                    "is a terminal; redirect the image to a file or a pipe");
  }
  // A pipe is opened anew, to be non-blocking for us and not for whoever else has it.
  struct stat found {};
  const bool pipe = fstat(STDOUT_FILENO, &found) == 0 && S_ISFIFO(found.st_mode);
  int fd = pipe ? open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_CLOEXEC) : -1;
  if (fd < 0) fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
  if (fd < 0) throw io::Error::system("open", "standard output", errno);
  return {io::FileDescriptor(fd), "standard output"};
}

ImageOutput::ImageOutput(io::Ring& ring, OutputPlan plan, std::optional<std::uint64_t> size,
                         const std::vector<std::string>& sources, io::WorkerPool& workers,
                         io::Source* backing, const io::StopFlag& stop)
    : ring_(ring),
      plan_(std::move(plan)),
      size_(size),
      workers_(workers),
      backing_(backing),
      stop_(stop) {
  open(sources);
}

void ImageOutput::open(const std::vector<std::string>& sources) {
  if (plan_.path == "-") {
    pipe_ = standard_output();
    return;
  }
  const bool exists = io::exists(plan_.path);
  if (plan_.existing && !exists) {
    throw io::Error(io::ErrorKind::refused, plan_.path, "does not exist, and -n makes no file");
  }
  const bool disk = exists && io::status_of(plan_.path).kind == io::FileKind::block_device;
  if (disk || plan_.existing) {
    open_in_place(sources);
    return;
  }
  const io::DeviceInventory inventory;
  check_output_path(plan_.path, sources, io::DeviceUsage(inventory));
  file_ = std::make_unique<io::OutputFile>(plan_.path, plan_.force);
}

void ImageOutput::open_in_place(const std::vector<std::string>& sources) {
  if (plan_.format != Format::raw) {
    throw io::Error(io::ErrorKind::refused, plan_.path,
                    fmt::format("is written in place, which only raw images can be, not {}",
                                formats::name_of(plan_.format)));
  }
  const io::FileStatus status = io::status_of(plan_.path);
  if (status.kind == io::FileKind::regular && size_ && status.size < *size_) {
    throw io::Error(io::ErrorKind::refused, plan_.path,
                    fmt::format("is too small: the disk has {} bytes, this file {}; {} bytes are "
                                "missing",
                                *size_, status.size, *size_ - status.size));
  }
  if (status.kind == io::FileKind::regular && !plan_.format_stated) refuse_other_content();
  const io::DeviceInventory inventory;
  const io::DeviceUsage usage(inventory);
  BurnTargetOptions options;
  options.image_size = size_;
  options.overwrite_files = true;
  options.starts_as_zeros = plan_.target_is_zero;
  in_place_ = std::make_unique<BurnTarget>(plan_.path, sources, inventory, usage, options);
}

// The disk's bytes would be written over what the container keeps at these places.
void ImageOutput::refuse_other_content() const {
  const Format found = formats::probe(io::File(plan_.path, O_RDONLY));
  if (found == Format::raw) return;
  throw io::Error(
      io::ErrorKind::refused, plan_.path,
      fmt::format("is {}, and would be overwritten with a raw image; if that is wanted, "
                  "say -O raw",
                  formats::name_of(found)));
}

std::vector<std::string> ImageOutput::disks() const {
  if (!in_place_ || !in_place_->device()) return {};
  return {in_place_->description()};
}

std::vector<io::QueueLimits> ImageOutput::queues() const {
  if (!in_place_ || !in_place_->device()) return {};
  return {in_place_->queue()};
}

std::uint64_t ImageOutput::disk_size(std::uint64_t size) const {
  return plan_.format == Format::qcow2 ? formats::qcow2::virtual_size_for(size) : size;
}

void ImageOutput::start() {
  if (pipe_.is_open()) {
    pipe_target_ = std::make_unique<io::PipeTarget>(ring_, pipe_, stop_);
    target_ = pipe_target_.get();
  } else if (in_place_) {
    in_place_->start(ring_);
    target_ = &in_place_->target();
  } else {
    start_file();
    target_ = image_.get();
  }
}

void ImageOutput::start_file() {
  if (plan_.format == Format::raw) {
    formats::RawTargetOptions options;
    options.smallest_hole = plan_.smallest_hole;
    options.set_space_aside =
        plan_.preallocation == Preallocation::falloc || plan_.preallocation == Preallocation::full;
    options.write_zeros = plan_.preallocation == Preallocation::full;
    image_ = std::make_unique<formats::RawTarget>(ring_, file_->file(), size_, options);
    return;
  }
  if (plan_.format == Format::zst) {
    formats::zst::ZstOptions options;
    options.level = plan_.zst_level;
    options.workers = &workers_;
    image_ = std::make_unique<formats::zst::ZstTarget>(ring_, file_->file(), size_, options);
    return;
  }
  formats::qcow2::WriterOptions options;
  options.create = plan_.create;
  options.codec = plan_.codec;
  options.workers = &workers_;
  options.backing = backing_;
  image_ = std::make_unique<formats::qcow2::Qcow2Target>(ring_, file_->file(), size_,
                                                         std::move(options));
}

void ImageOutput::suit(io::CopyOptions& options, unsigned threads) const {
  if (image_) options.chunk_size = io::align_up(options.chunk_size, image_->granularity());
  if (encodes()) options.lanes = std::max(options.lanes, lanes_per_thread * threads + spare_lanes);
  const auto fitting = static_cast<unsigned>(most_output_memory / options.chunk_size);
  options.lanes = std::max(std::min(options.lanes, fitting), 1U);
}

std::string ImageOutput::finish(std::uint64_t size) {
  if (in_place_) {
    io::run_task(ring_, target_->flush());
    return in_place_->finish(size);
  }
  if (pipe_target_) {
    io::run_task(ring_, target_->flush());
    return "";
  }
  complete();
  publish();
  return "";
}

void ImageOutput::complete() { io::run_task(ring_, image_->finish()); }

void ImageOutput::publish() { file_->publish(); }

std::optional<std::uint64_t> ImageOutput::content_bytes() const {
  return image_ ? std::optional(image_->content_bytes()) : std::nullopt;
}

std::optional<std::uint64_t> ImageOutput::file_bytes() const {
  return image_ ? std::optional(image_->file_bytes()) : std::nullopt;
}

}  // namespace imgtool
