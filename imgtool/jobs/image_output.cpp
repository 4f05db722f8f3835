#include "imgtool/jobs/image_output.hpp"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <filesystem>

#include <fcntl.h>
#include <fmt/format.h>

#include "formats/images/block_target.hpp"
#include "formats/images/probe.hpp"
#include "formats/images/qcow2/writer.hpp"
#include "formats/images/raw_target.hpp"
#include "formats/images/simg/encoder.hpp"
#include "formats/images/vmdk/target.hpp"
#include "formats/images/zst/target.hpp"
#include "imgtool/jobs/disk_space.hpp"
#include "imgtool/jobs/new_blocks.hpp"
#include "io/devices/system_roots.hpp"
#include "io/task_group.hpp"

namespace imgtool {
namespace {

using formats::Format;
using formats::qcow2::Preallocation;

constexpr std::uint64_t most_output_memory = 128 * io::MiB;
// An encoder's lanes wait for each other's turn: so many more than threads keep these busy.
constexpr unsigned lanes_per_thread = 2;
constexpr unsigned spare_lanes = 8;

// Before anything is opened for writing. The disk's bytes would be written over what a container
// keeps at these places.
void refuse_other_content(const OutputPlan& plan) {
  if (plan.path == "-" || !io::exists(plan.path)) return;
  const io::FileKind kind = io::status_of(plan.path).kind;
  if (kind != io::FileKind::block_device && !plan.existing) return;
  if (plan.format == Format::qcow2 && kind == io::FileKind::block_device && !plan.existing) {
    if (plan.preallocation == Preallocation::off) return;
    throw io::Error::refusal(plan.path,
                             "is a disk, where no room can be set aside: leave "
                             "-o preallocation (or -S 0) out");
  }
  if (plan.format == Format::qcow2 && plan.existing) return;
  if (plan.format != Format::raw) {
    throw io::Error::refusal(
        plan.path, fmt::format("is written in place, which only raw images can be, not {}",
                               formats::name_of(plan.format)));
  }
  if (kind != io::FileKind::regular || plan.format_stated) return;
  const Format found = formats::probe(io::File(plan.path, O_RDONLY));
  if (found == Format::raw) return;
  throw io::Error::refusal(
      plan.path,
      fmt::format(
          "is {}, and would be overwritten with a raw image; if that is wanted, say -O raw{}",
          formats::name_of(found),
          found == Format::qcow2 ? ", or -O qcow2 to write to its disk" : ""));
}

// Whoever makes an image of an aligned size pads the disk before.
void refuse_unaligned(const OutputPlan& plan, std::optional<std::uint64_t> size) {
  if (plan.alignment == 1 || size.value_or(0) % plan.alignment == 0) return;
  throw io::Error::refusal(
      plan.path, fmt::format("the disk has {} bytes, not whole ones of -o align={}; only convert "
                             "and create make it longer",
                             *size, plan.alignment));
}

DestinationOptions destination_options(const OutputPlan& plan, std::optional<std::uint64_t> size) {
  DestinationOptions options;
  // Of others it is known in the end.
  if (plan.format == Format::raw || plan.existing) options.size = size;
  options.in_place = plan.existing;
  options.qcow2 = plan.format == Format::qcow2;
  options.follow_references = plan.follow_references;
  options.replace = plan.force;
  options.resume = plan.resume;
  options.mode = plan.mode;
  options.starts_as_zeros = plan.target_is_zero;
  return options;
}

}  // namespace

ImageOutput::ImageOutput(io::Ring& ring, OutputPlan plan, std::optional<std::uint64_t> size,
                         const std::vector<std::string>& sources, io::WorkerPool& workers,
                         io::Source* backing, const io::StopFlag& stop)
    : ring_(ring),
      plan_(std::move(plan)),
      size_(size),
      workers_(workers),
      backing_(backing),
      stop_(stop) {
  assert(!plan_.resume || plan_.can_be_resumed());
  refuse_other_content(plan_);
  refuse_unaligned(plan_, size_);
  destination_ = open_destination(plan_.path, sources, destination_options(plan_, size_));
}

void ImageOutput::start() {
  assert(target_ == nullptr);
  if (io::File* file = destination_->file()) {
    image_ = make_target(*file);
    target_ = image_.get();
    return;
  }
  target_ = &destination_->start(ring_, stop_);
  if (!plan_.existing) image_ = make_image(*target_);
  if (image_) target_ = image_.get();
}

// Null: the format's bytes are the disk's.
std::unique_ptr<formats::ImageTarget> ImageOutput::make_image(io::Target& place) const {
  if (plan_.format == Format::zst) {
    return std::make_unique<formats::zst::ZstTarget>(ring_, place, size_, zst_options());
  }
  if (auto encoder = make_encoder()) {
    return std::make_unique<formats::streams::StreamTarget>(ring_, place, std::move(encoder),
                                                            stream_options());
  }
  if (plan_.format == Format::vmdk) {
    return std::make_unique<formats::vmdk::StreamTarget>(ring_, place, vmdk_options());
  }
  if (plan_.format == Format::qcow2) {
    return std::make_unique<formats::qcow2::Qcow2Target>(ring_, place, size_, qcow2_options());
  }
  return nullptr;
}

// Null: of a format that is no stream of blocks.
std::unique_ptr<formats::streams::Encoder> ImageOutput::make_encoder() const {
  if (plan_.format == Format::gz) return formats::streams::make_gzip_encoder(plan_.stream_level);
  if (plan_.format == Format::xz) return formats::streams::make_xz_encoder(plan_.stream_level);
  if (plan_.format == Format::lz4) return formats::streams::make_lz4_encoder(plan_.stream_level);
  if (plan_.format == Format::simg) return formats::simg::make_encoder();
  return nullptr;
}

formats::qcow2::WriterOptions ImageOutput::qcow2_options() const {
  formats::qcow2::WriterOptions options;
  options.create = plan_.create;
  options.codec = plan_.codec;
  options.workers = &workers_;
  options.backing = backing_;
  return options;
}

formats::zst::ZstOptions ImageOutput::zst_options() const {
  return {plan_.stream_level, &workers_};
}

formats::streams::StreamTargetOptions ImageOutput::stream_options() const {
  return {size_, &workers_, &stop_};
}

formats::vmdk::StreamOptions ImageOutput::vmdk_options() const {
  formats::vmdk::StreamOptions options;
  options.size = size_;
  options.extent_name = std::filesystem::path(plan_.path).filename().string();
  options.level = plan_.stream_level;
  options.workers = &workers_;
  return options;
}

std::unique_ptr<formats::ImageTarget> ImageOutput::make_target(io::File& file) const {
  if (plan_.format == Format::raw) {
    formats::RawTargetOptions options;
    options.smallest_hole = plan_.smallest_hole;
    options.starts_as_zeros = !plan_.resume;
    options.set_space_aside =
        plan_.preallocation == Preallocation::falloc || plan_.preallocation == Preallocation::full;
    options.write_zeros = plan_.preallocation == Preallocation::full;
    return std::make_unique<formats::RawTarget>(ring_, file, size_, options);
  }
  if (auto encoder = make_encoder()) {
    return std::make_unique<formats::streams::StreamTarget>(ring_, file, std::move(encoder),
                                                            stream_options());
  }
  if (plan_.format == Format::zst) {
    return std::make_unique<formats::zst::ZstTarget>(ring_, file, size_, zst_options());
  }
  if (plan_.format == Format::vmdk) {
    return std::make_unique<formats::vmdk::StreamTarget>(ring_, file, vmdk_options());
  }
  if (has_block_table(plan_.format)) {
    return std::make_unique<formats::BlockTarget>(ring_, file, *size_, new_blocks(plan_, *size_));
  }
  return std::make_unique<formats::qcow2::Qcow2Target>(ring_, file, size_, qcow2_options());
}

io::Target& ImageOutput::target() {
  assert(target_ != nullptr);
  return *target_;
}

void ImageOutput::tune_for(io::CopyOptions& options, unsigned threads) const {
  assert(target_ != nullptr);
  const std::uint64_t unit = image_ ? image_->granularity() : destination_->granularity();
  options.chunk_size = io::align_up(options.chunk_size, unit);
  if (encodes()) options.lanes = std::max(options.lanes, lanes_per_thread * threads + spare_lanes);
  const auto fitting = static_cast<unsigned>(most_output_memory / options.chunk_size);
  options.lanes = std::max(std::min(options.lanes, fitting), 1U);
}

std::string ImageOutput::finish(std::uint64_t size) {
  complete();
  return publish(size);
}

void ImageOutput::complete() {
  assert(target_ != nullptr);
  if (image_) io::run_task(ring_, image_->finish());
}

std::string ImageOutput::publish(std::uint64_t size) {
  assert(target_ != nullptr);
  return destination_->publish(size);
}

std::optional<std::uint64_t> ImageOutput::content_bytes() const {
  return image_ ? std::optional(image_->content_bytes()) : std::nullopt;
}

std::optional<std::uint64_t> ImageOutput::file_bytes() const {
  return image_ ? std::optional(image_->file_bytes()) : std::nullopt;
}

// A disk or a pipe that ends is not helped by more room.
io::Error ImageOutput::explained(const io::Error& error, const io::CopyTarget& copy,
                                 std::optional<std::uint64_t> size) const {
  const io::File* file = destination_->file();
  if (error.error_number() != ENOSPC || file == nullptr || error.path() != file->path()) {
    return error;
  }
  return no_space_error(
      error, plan_.path,
      {copy.data_bytes + copy.zero_bytes, file_bytes().value_or(copy.data_bytes), size});
}

}  // namespace imgtool
