#include "imgtool/jobs/destination.hpp"

#include <cassert>
#include <cerrno>
#include <cstdlib>
#include <optional>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/images/image.hpp"
#include "formats/images/qcow2/bitmap_editor.hpp"
#include "formats/images/qcow2/disk_target.hpp"
#include "formats/images/qcow2/free_clusters.hpp"
#include "imgtool/jobs/burn_target.hpp"
#include "imgtool/jobs/edited_file.hpp"
#include "imgtool/jobs/output_path.hpp"
#include "io/devices/device_usage.hpp"
#include "io/devices/system_roots.hpp"
#include "io/error.hpp"
#include "io/output_file.hpp"
#include "io/pipe_target.hpp"
#include "io/task_group.hpp"

namespace imgtool {
namespace {

class NewFile final : public Destination {
 public:
  NewFile(const std::string& path, const DestinationOptions& options)
      : output_(path, options.replace,
                options.resume ? io::OutputFile::Start::resume : io::OutputFile::Start::empty,
                options.mode) {
    if (!output_.locked()) note_no_locks(path);
  }

  io::File* file() override { return &output_.file(); }
  io::Target& start(io::Ring&, const io::StopFlag&) override {
    std::abort();  // a new file is written through file()
  }
  std::string publish(std::uint64_t) override {
    output_.publish();
    return "";
  }
  void keep_partial(bool keep) override { output_.keep_partial(keep); }

 private:
  io::OutputFile output_;
};

class InPlace final : public Destination {
 public:
  InPlace(const std::string& path, const std::vector<std::string>& sources,
          const DestinationOptions& options)
      : InPlace(path, sources, options, io::DeviceInventory()) {}

  [[nodiscard]] std::vector<std::string> disks() const override {
    if (!target_.device()) return {};
    return {target_.description()};
  }
  [[nodiscard]] std::vector<io::QueueLimits> queues() const override {
    if (!target_.device()) return {};
    return {target_.queue()};
  }
  io::Target& start(io::Ring& ring, const io::StopFlag&) override {
    assert(!medium_);
    ring_ = &ring;
    medium_ = target_.start(ring);
    return medium_->target();
  }
  std::string publish(std::uint64_t size) override {
    assert(medium_ != nullptr);
    io::run_task(*ring_, medium_->target().flush());
    return medium_->finish(size);
  }

 private:
  InPlace(const std::string& path, const std::vector<std::string>& sources,
          const DestinationOptions& options, const io::DeviceInventory& inventory)
      : target_(path, sources, io::DeviceUsage(inventory), burn_options(options)) {}

  static BurnTargetOptions burn_options(const DestinationOptions& options) {
    BurnTargetOptions burn;
    burn.image_size = options.size;
    burn.overwrite_files = true;
    burn.starts_as_zeros = options.starts_as_zeros;
    return burn;
  }

  BurnTarget target_;
  std::unique_ptr<BurnMedium> medium_;  // once it is started
  io::Ring* ring_ = nullptr;
};

// The disk of an image. What is written shows when it is published.
class ExistingQcow2 final : public Destination {
 public:
  ExistingQcow2(const std::string& path, const DestinationOptions& options)
      : options_(options),
        file_(open_qcow2_alone(path, "a disk that could be written in place")),
        header_(formats::qcow2::read_editable(file_)) {
    formats::qcow2::refuse_unwritable(file_, header_);
    if (options.size.value_or(0) <= header_.virtual_size) return;
    throw io::Error::refusal(path, fmt::format("is too small: its disk has {} bytes, the new one "
                                               "{}; imgtool resize makes it larger",
                                               header_.virtual_size, *options.size));
  }

  io::Target& start(io::Ring& ring, const io::StopFlag& stop) override {
    assert(!target_);
    ring_ = &ring;
    formats::qcow2::refuse_damaged(file_, stop);
    if (!ends_with_a_cluster()) open_as_it_is(ring);  // throws before anything has changed
    formats::qcow2::record_in_all(file_, stop, [this] {
      const io::ByteRange all{0, options_.size.value_or(header_.virtual_size)};
      return [range = all]() mutable { return std::exchange(range, {}); };
    });
    header_ = formats::qcow2::read_editable(file_);
    if (!ends_with_a_cluster()) open_as_it_is(ring);  // afresh: tables have moved
    target_.emplace(ring, file_, header_, now_.get(), options_.starts_as_zeros);
    return *target_;
  }

  [[nodiscard]] std::uint64_t granularity() const override {
    return header_.geometry.cluster_size();
  }

  std::string publish(std::uint64_t) override {
    assert(target_.has_value());
    io::run_task(*ring_, target_->finish());
    const io::StopFlag to_the_end{0};
    target_.reset();
    now_.reset();
    formats::qcow2::release_room_behind(file_, to_the_end);
    return "";
  }

 private:
  // Whether all that is written is whole clusters, or goes to the end of the disk.
  [[nodiscard]] bool ends_with_a_cluster() const {
    return options_.size && (*options_.size % header_.geometry.cluster_size() == 0 ||
                             *options_.size == header_.virtual_size);
  }

  void open_as_it_is(io::Ring& ring) {
    formats::OpenOptions open;
    open.format = formats::Format::qcow2;
    open.follow_references = options_.follow_references;
    open.force_share = true;  // the lock is ours
    now_ = formats::open_image(ring, file_.reopened(), open);
  }

  DestinationOptions options_;
  io::File file_;
  formats::qcow2::Header header_;
  std::unique_ptr<formats::Image> now_;
  std::optional<formats::qcow2::DiskTarget> target_;
  io::Ring* ring_ = nullptr;
};

class StandardOutput final : public Destination {
 public:
  StandardOutput() : pipe_(open_it()) {}

  io::Target& start(io::Ring& ring, const io::StopFlag& stop) override {
    assert(!target_);
    ring_ = &ring;
    target_.emplace(ring, pipe_, stop);
    return *target_;
  }
  std::string publish(std::uint64_t) override {
    assert(target_.has_value());
    io::run_task(*ring_, target_->flush());
    if (pipe_.status().kind == io::FileKind::regular) pipe_.sync();
    return "";
  }

 private:
  static io::File open_it() {
    if (isatty(STDOUT_FILENO) != 0) {
      throw io::Error::refusal("standard output",
                               "is a terminal; redirect the image to a file or a pipe");
    }
    // A pipe is opened anew, to be non-blocking for us and not for others who have it open.
    struct stat found {};
    const bool pipe = fstat(STDOUT_FILENO, &found) == 0 && S_ISFIFO(found.st_mode);
    int fd = pipe ? open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_CLOEXEC) : -1;
    if (fd < 0) fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    if (fd < 0) throw io::Error::system("open", "standard output", errno);
    return {io::FileDescriptor(fd), "standard output"};
  }

  io::File pipe_;
  io::Ring* ring_ = nullptr;
  std::optional<io::PipeTarget> target_;
};

void refuse_too_small(const std::string& path, std::uint64_t has, std::uint64_t needs) {
  if (has >= needs) return;
  throw io::Error::refusal(
      path, fmt::format("is too small: the disk has {} bytes, this file {}; {} bytes are missing",
                        needs, has, needs - has));
}

}  // namespace

std::unique_ptr<Destination> open_destination(const std::string& path,
                                              const std::vector<std::string>& sources,
                                              const DestinationOptions& options) {
  if (path == "-") return std::make_unique<StandardOutput>();
  const bool exists = io::exists(path);
  if (options.in_place && !exists) {
    throw io::Error::refusal(path, "does not exist, and -n makes no file");
  }
  if (options.in_place && options.qcow2) return std::make_unique<ExistingQcow2>(path, options);
  const io::FileStatus status = exists ? io::status_of(path) : io::FileStatus{};
  if (status.kind == io::FileKind::block_device || options.in_place) {
    if (status.kind == io::FileKind::regular) {
      refuse_too_small(path, status.size, options.size.value_or(0));
    }
    return std::make_unique<InPlace>(path, sources, options);
  }
  const io::DeviceInventory inventory;
  check_output_path(path, sources, io::DeviceUsage(inventory));
  return std::make_unique<NewFile>(path, options);
}

}  // namespace imgtool
