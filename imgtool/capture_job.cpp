#include "imgtool/capture_job.hpp"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/bmap/recorder.hpp"
#include "formats/partitions/fit.hpp"
#include "imgtool/content_hash.hpp"
#include "imgtool/disk_space.hpp"
#include "imgtool/output_path.hpp"
#include "imgtool/signals.hpp"
#include "imgtool/usage_error.hpp"
#include "io/content_digest.hpp"
#include "io/device_usage.hpp"
#include "io/error.hpp"
#include "io/file_target.hpp"
#include "io/pipe_target.hpp"

namespace imgtool {
namespace {

// Raw, as it always was: it can be resumed, and go to a pipe.
bool is_plain_raw(const OutputPlan& plan) {
  return plan.format == formats::Format::raw &&
         plan.preallocation == formats::qcow2::Preallocation::off;
}

}  // namespace

CaptureJob::CaptureJob(io::Ring& ring, CaptureOptions options, const TuningOptions& tuning)
    : ring_(ring), options_(std::move(options)), copies_(1) {
  open_source();
  if (options_.to_last_partition) stop_behind_partitions();
  if (options_.used) find_unused();
  const io::BlockDevice* device = inventory_.find_path(options_.device);
  std::vector<io::QueueLimits> queues;
  if (device != nullptr) queues.push_back(inventory_.queue_limits(*device));
  copy_options_ = choose_copy_options(tuning, size_, queues);
  OutputPlan plan = plan_target();
  check_paths();
  check_space(plan);
  open_output(std::move(plan));
  if (tuning.depth) copy_options_.lanes = std::min(copy_options_.lanes, *tuning.depth);
  if (options_.bmap) bmap_file_ = std::make_unique<io::OutputFile>(*options_.bmap, options_.force);
  open_journal();
  if (output_) open_raw_target();
  if (target_) copies_.front().target = target_.get();
}

void CaptureJob::open_source() {
  disk_file_ = io::File(options_.device, O_RDONLY);
  const io::FileStatus status = disk_file_.status();
  if (status.kind != io::FileKind::block_device && status.kind != io::FileKind::regular) {
    throw io::Error(io::ErrorKind::unsupported, options_.device,
                    "is neither a disk nor a regular file");
  }
  size_ = std::min(status.size, options_.length.value_or(status.size));
  disk_ = std::make_unique<io::FileSource>(ring_, disk_file_, size_, true);
  lost_ = io::RangeMap<bool>(size_, false);
  if (!options_.rescue) return;
  rescue_.emplace(*disk_, disk_file_.direct_alignment().offset,
                  [this](io::ByteRange range, std::span<std::byte> content) {
                    if (!read_before(range, content)) lost_.set(range, true);
                  });
}

// What an earlier run could read is in the image, and stays there.
bool CaptureJob::read_before(io::ByteRange range, std::span<std::byte> content) const {
  if (!done_before_ || range.end() > done_before_->size()) return false;
  const auto entry = done_before_->at(range.offset);
  if (entry.value != io::BlockState::done || entry.range.end() < range.end()) return false;
  return kept_image_.read_at(range.offset, content) == content.size();
}

io::Source& CaptureJob::source() {
  if (filter_) return *filter_;
  if (overlay_) return *overlay_;
  return rescue_ ? static_cast<io::Source&>(*rescue_) : *disk_;
}

// The image ends behind the last partition, with a table that says so.
void CaptureJob::stop_behind_partitions() {
  const io::BlockDevice* device = inventory_.find_path(options_.device);
  std::optional<std::uint64_t> sector;
  if (device != nullptr) sector = device->logical_sector_bytes;
  formats::DiskView view(ring_, source(), &stop_flag());
  const auto layout = formats::partitions::read_layout_of_disk(view, sector);
  const std::uint64_t end = layout.end_of_partitions();
  if (end == 0 || end > size_) {
    const auto why = end > 0                   ? "a partition ends behind the disk's end"
                     : layout.problems.empty() ? "there are no partitions"
                                               : layout.problems.front().c_str();
    throw io::Error(io::ErrorKind::refused, options_.device,
                    fmt::format("cannot tell where the last partition ends: {}; --length says how "
                                "much to capture",
                                why));
  }
  const std::uint64_t wanted = io::align_up(layout.least_size(), io::MiB);
  const std::uint64_t size = std::min(size_, layout.gpt ? wanted : end);
  auto fit = formats::partitions::fit_to_disk(view, layout, {.disk_size = size});
  if (!fit.left_because.empty()) {
    throw io::Error(
        io::ErrorKind::refused, options_.device,
        fmt::format("no backup GPT could be put behind the last partition: {}", fit.left_because));
  }
  left_out_ = size_ - size;
  table_changed_ = !fit.patches.empty();
  size_ = size;
  overlay_.emplace(source(), std::move(fit.patches), size);
  lost_ = io::RangeMap<bool>(size_, false);  // the copy comes to what it needs of these places
}

// File systems are judged by all of the disk, also when only its beginning is captured.
void CaptureJob::find_unused() {
  const io::BlockDevice* device = inventory_.find_path(options_.device);
  formats::FreeSpaceOptions options;
  options.in_use = parts_in_use(inventory_, options_.device);
  if (device != nullptr) options.sector_size = device->logical_sector_bytes;
  whole_disk_ = std::make_unique<io::FileSource>(ring_, disk_file_, disk_file_.status().size, true);
  unused_ = std::make_unique<UnusedSpace>(ring_, *whole_disk_, std::move(options));
  filter_ = unused_->filter(source(), io::buffer_alignment);
}

void CaptureJob::open_journal() {
  if (!options_.mapfile) return;
  const io::BlockDevice* disk = inventory_.find_path(options_.device);
  JobIdentity identity;
  identity.size = size_;
  identity.source =
      disk != nullptr ? disk_identity(*disk) : source_file_identity(options_.device, disk_file_);
  identity.target = output_ ? kept_file_identity(options_.output, output_->file())
                            : file_identity(options_.output);
  // What is free now may have been in use when the last run passed it.
  if (unused_) identity.source += " " + unused_->identity();
  journal_file_.emplace(*options_.mapfile, identity, options_.resume);
  copies_.front().journal = &journal_file_->journal();
  if (options_.resume) remember_what_is_there();
  copies_.front().save_journal = [this](io::Journal& journal) {
    // Their zeros were written with the chunks around them, which does not make them done.
    for (const auto& entry : lost_) {
      if (entry.value) journal.mark_bad(entry.range);
    }
    journal_file_->save();
  };
}

void CaptureJob::remember_what_is_there() {
  kept_image_ = io::File(output_->file().path(), O_RDONLY);
  if (kept_image_.size() < size_) {
    throw io::Error::refusal(kept_image_.path(),
                             fmt::format("has {} bytes, and the run to go on with left {}: remove "
                                         "{}, and start anew without --resume",
                                         kept_image_.size(), size_, *options_.mapfile));
  }
  done_before_ = copies_.front().journal->states();
}

// Before anything is made.
void CaptureJob::check_paths() const {
  if (io::exists(options_.output) &&
      io::status_of(options_.output).kind == io::FileKind::block_device) {
    throw io::Error::refusal(options_.output,
                             "is a disk, and capture makes files; burn writes to disks");
  }
  const io::DeviceUsage usage(inventory_);
  check_output_path(options_.output, {options_.device}, usage);
  std::vector<std::string> others = {options_.device, options_.output};
  if (options_.mapfile) {
    check_output_path(*options_.mapfile, others, usage);
    if (!options_.resume) {
      refuse_existing_mapfile(*options_.mapfile);
    } else if (!io::exists(options_.output) &&
               !io::exists(io::OutputFile::partial_path_of(options_.output))) {
      throw io::Error::refusal(*options_.mapfile,
                               fmt::format("nothing is left of {} to go on with; remove this "
                                           "mapfile, and start anew without --resume",
                                           options_.output));
    }
    others.push_back(*options_.mapfile);
  }
  if (options_.bmap) check_output_path(*options_.bmap, others, usage);
}

OutputPlan CaptureJob::plan_target() {
  options_.target.force = options_.force;
  OutputPlan plan = plan_output(options_.target, options_.output, size_);
  check_plan(plan, size_);
  if (options_.mapfile && !is_plain_raw(plan)) {
    throw UsageError("capture: --mapfile works with plain raw images only");
  }
  return plan;
}

// A job that can be resumed may go on when there is room again; a failing disk is not read twice.
void CaptureJob::check_space(const OutputPlan& plan) {
  if (plan.path == "-" || options_.rescue || options_.mapfile) return;
  if (io::exists(plan.path) && io::status_of(plan.path).kind != io::FileKind::regular) return;
  io::WorkerPool workers(options_.threads);
  space_warning_ = check_disk_space(ring_, source(), plan, workers);
}

io::Error CaptureJob::explain_no_space(const io::Error& error) {
  const io::CopyTarget& copy = copies_.front();
  const auto written = image_ ? image_->file_bytes() : std::nullopt;
  return no_space_error(
      error, options_.output,
      {copy.data_bytes + copy.zero_bytes, written.value_or(copy.data_bytes), size_});
}

void CaptureJob::open_image(OutputPlan plan) {
  workers_.emplace(options_.threads);
  image_ = std::make_unique<ImageOutput>(ring_, std::move(plan), size_,
                                         std::vector<std::string>{options_.device}, *workers_,
                                         nullptr, stop_flag());
  image_->start();
  image_->suit(copy_options_, options_.threads);
  copies_.front().target = &image_->target();
}

void CaptureJob::open_output(OutputPlan plan) {
  if (!is_plain_raw(plan)) {
    open_image(std::move(plan));
    return;
  }
  if (options_.output == "-") {
    pipe_ = standard_output();
    target_ = std::make_unique<io::PipeTarget>(ring_, pipe_, stop_flag());
    return;
  }
  output_ = std::make_unique<io::OutputFile>(
      options_.output, options_.force,
      options_.resume ? io::OutputFile::Start::resume : io::OutputFile::Start::empty);
}

// A file that is gone on with is known to be the right one by now.
void CaptureJob::open_raw_target() {
  output_->file().truncate(size_);
  io::FileTargetOptions target;
  target.starts_as_zeros = !options_.resume;
  target_ =
      std::make_unique<io::FileTarget>(ring_, output_->file(), io::align_up(size_, 4096), target);
}

std::string CaptureJob::warning() const {
  const io::BlockDevice* device = inventory_.find_path(options_.device);
  if (device == nullptr) return "";
  const io::DeviceUsage usage(inventory_);
  for (const io::DeviceUse& use : usage.uses(*device)) {
    if (use.kind == io::DeviceUseKind::mounted || use.kind == io::DeviceUseKind::system_disk) {
      return fmt::format(
          "warning: {} is {}; what is written to it meanwhile may be in the image "
          "by halves",
          options_.device, use.phrase());
    }
  }
  return "";
}

std::string CaptureJob::advice() const {
  return journal_file_ && !unused_changed_ ? journal_file_->advice() : "";
}

std::vector<io::ByteRange> CaptureJob::ranges_to_copy() const {
  if (!options_.resume) return {io::ByteRange{0, size_}};
  auto ranges = copies_.front().journal->untried();
  if (options_.rescue) {
    // What could not be read the last time may be readable now.
    for (const auto& entry : copies_.front().journal->states()) {
      if (entry.value == io::BlockState::bad) ranges.push_back(entry.range);
    }
  }
  return io::on_grid(std::move(ranges), copy_options_.chunk_size, 0);
}

void CaptureJob::run(io::CopyObserver& observer) {
  try {
    copy(observer);
    check_unused();
    if (options_.digest && digest_.empty()) hash_result(observer);
    if (bmap_file_ && !bmap_) map_result(observer);
    if (bmap_) {
      const std::string text = formats::bmap::to_text(*bmap_);
      bmap_file_->file().write_at(0, std::as_bytes(std::span(text)));
    }
    if (image_) image_->finish(size_);
    if (output_) {
      output_->file().truncate(size_);
      output_->publish();
    }
    if (bmap_) bmap_file_->publish();
  } catch (const io::Error& error) {
    keep_for_resume();
    const bool about_bmap = bmap_file_ && error.path() == bmap_file_->file().path();
    if (error.error_number() != ENOSPC || options_.output == "-" || about_bmap) throw;
    throw explain_no_space(error);
  } catch (...) {
    keep_for_resume();
    throw;
  }
}

void CaptureJob::keep_for_resume() {
  if (output_) output_->keep_partial(options_.mapfile && !unused_changed_);
  // Nothing can go on from there: what was left out may be in use now.
  if (options_.mapfile && unused_changed_) unlink(options_.mapfile->c_str());
}

void CaptureJob::check_unused() {
  if (!unused_) return;
  unused_changed_ = true;  // unless the check passes
  unused_->check_unchanged();
  unused_changed_ = false;
}

void CaptureJob::copy(io::CopyObserver& observer) {
  std::optional<formats::bmap::Recorder> recorder;
  if (bmap_file_ && !options_.resume) recorder.emplace(ring_, source());
  io::Source& disk = recorder ? static_cast<io::Source&>(*recorder) : source();
  io::WorkerPool worker(1);
  std::optional<io::ContentDigest> digest;
  io::Copier copier(ring_, disk, copies_, copy_options_, observer, stop_flag());
  if (options_.digest && !options_.resume) {
    digest.emplace(ring_, worker, *options_.digest);
    copier.hash_content(&*digest);
  }
  copier.run(ranges_to_copy());
  if (stop_flag().load() == 0 || journal_file_) copier.flush();
  if (stop_flag().load() != 0) {
    throw io::Error(io::ErrorKind::cancelled, options_.device, "stopped");
  }
  if (copies_.front().error) throw *copies_.front().error;
  if (digest) {
    digest_ = digest_of_disk(ring_, *digest, size_, image_ ? image_->disk_size(size_) : size_);
  }
  if (recorder) bmap_ = recorder->take(size_);
}

std::uint64_t CaptureJob::data_bytes() const {
  const auto stored = image_ ? image_->content_bytes() : std::nullopt;
  return stored.value_or(copies_.front().data_bytes);
}

// A resumed run has not seen all of the content; the image has it.
void CaptureJob::hash_result(io::CopyObserver& observer) {
  io::FileSource result(ring_, output_->file(), size_, true);
  digest_ = hash_content(ring_, result, *options_.digest, copy_options_, observer).hex;
}

void CaptureJob::map_result(io::CopyObserver& observer) {
  io::FileSource result(ring_, output_->file(), size_, true);
  formats::bmap::Recorder recorder(ring_, result);
  std::vector<io::CopyTarget> nobody;
  io::Copier reader(ring_, recorder, nobody, copy_options_, observer, stop_flag());
  reader.run({io::ByteRange{0, size_}});
  if (stop_flag().load() != 0) {
    throw io::Error(io::ErrorKind::cancelled, options_.device, "stopped");
  }
  bmap_ = recorder.take(size_);
}

std::vector<io::ByteRange> CaptureJob::unreadable() const {
  io::RangeMap<bool> lost = lost_;
  if (journal_file_) {
    // What an earlier run had lost already.
    for (const auto& entry : copies_.front().journal->states()) {
      if (entry.value == io::BlockState::bad) lost.set(entry.range, true);
    }
  }
  std::vector<io::ByteRange> ranges;
  for (const auto& entry : lost) {
    if (entry.value) ranges.push_back(entry.range);
  }
  return ranges;
}

}  // namespace imgtool
