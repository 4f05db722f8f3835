#include "imgtool/jobs/capture_job.hpp"

#include <algorithm>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "formats/disks/end_of_use.hpp"
#include "formats/disks/partitions/fit.hpp"
#include "formats/images/bmap/recorder.hpp"
#include "imgtool/cli/image_options.hpp"
#include "imgtool/jobs/content_hash.hpp"
#include "imgtool/jobs/device_words.hpp"
#include "imgtool/jobs/disk_space.hpp"
#include "imgtool/jobs/disk_survey.hpp"
#include "imgtool/jobs/image_source.hpp"
#include "imgtool/jobs/output_path.hpp"
#include "imgtool/jobs/partition_table_fit.hpp"
#include "imgtool/jobs/resume_check.hpp"
#include "imgtool/terminal/escape.hpp"
#include "imgtool/terminal/usage_error.hpp"
#include "io/content_digest.hpp"
#include "io/devices/device_usage.hpp"
#include "io/error.hpp"
#include "io/image_lock.hpp"

namespace imgtool {
CaptureJob::CaptureJob(io::Ring& ring, CaptureOptions options, const TuningOptions& tuning,
                       const io::StopFlag& stop)
    : ring_(ring),
      options_(std::move(options)),
      stop_(stop),
      workers_(options_.threads),
      copies_(1) {
  open_source();
  state_before_ = source_state();
  if (options_.to_last_partition) stop_behind_partitions();
  if (options_.used) find_unused();
  look_for_truncation();
  const io::BlockDevice* device = inventory_.find_path(options_.device);
  std::vector<io::QueueLimits> queues;
  if (device != nullptr) queues.push_back(inventory_.queue_limits(*device));
  copy_options_ = choose_copy_options(tuning, size_, queues);
  OutputPlan plan = plan_target();
  check_paths();
  check_space(plan);
  open_output(std::move(plan));
  if (options_.bmap) {
    bmap_file_ = std::make_unique<io::OutputFile>(*options_.bmap, options_.target.force);
  }
  // A file that is gone on with is touched only once it is known to be the right one.
  open_journal();
  output_->start();
  output_->tune_for(copy_options_, options_.threads);
  if (tuning.depth) copy_options_.lanes = std::min(copy_options_.lanes, *tuning.depth);
  copies_.front().target = &output_->target();
}

void CaptureJob::open_source() {
  disk_file_ = io::File(options_.device, O_RDONLY);
  const io::FileStatus status = disk_file_.status();
  if (status.kind != io::FileKind::block_device && status.kind != io::FileKind::regular) {
    throw io::Error(io::ErrorKind::unsupported, options_.device,
                    "is neither a disk nor a regular file");
  }
  if (options_.force_share) {
    note_writers(disk_file_);
  } else {
    io::lock_image(disk_file_, io::ImageUse::reading, way_past_lock);
  }
  if (status.size == 0 && options_.length != 0) {
    throw io::Error::refusal(options_.device, "is empty: there is nothing to capture");
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

// What lies behind the last partition may be a part of what the disk holds: a RAID's superblock,
// Windows' list of dynamic volumes, hashes. All of it is not read: it is what the option saves.
void CaptureJob::refuse_loss(formats::DiskView& disk, const formats::partitions::Layout& layout,
                             std::uint64_t end) const {
  const auto used = formats::end_of_use(disk, layout);
  if (used.bytes >= size_ && used.bytes > io::align_up(layout.least_size(), io::MiB)) {
    throw io::Error::refusal(
        options_.device,
        fmt::format("all of it may be in use: {}; --force-cut captures its beginning all the same",
                    used.because));
  }
  const auto remains = formats::remains_behind(disk, layout, end, formats::Reach::both_ends);
  if (remains.bytes == 0) return;
  throw io::Error::refusal(
      options_.device,
      fmt::format("holds something behind its last partition, at {} to {}, which may be needed (a "
                  "RAID's, LVM's or Windows' metadata, hashes) or be left over from before; "
                  "--force-cut leaves it out",
                  remains.range.offset, remains.range.end()));
}

// The image ends behind the last partition, with a table that says so.
void CaptureJob::stop_behind_partitions() {
  const io::BlockDevice* device = inventory_.find_path(options_.device);
  std::optional<std::uint64_t> sector;
  if (device != nullptr) sector = device->logical_sector_bytes;
  formats::DiskView view(ring_, source(), &stop_);
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
  if (!options_.force_cut) refuse_loss(view, layout, end);
  const std::uint64_t wanted = io::align_up(layout.least_size(), io::MiB);
  const std::uint64_t size = std::min(size_, layout.gpt ? wanted : end);
  auto fit = formats::partitions::fit_to_disk(view, layout, {.disk_size = size});
  if (!fit.kept_because.empty()) {
    throw io::Error(
        io::ErrorKind::refused, options_.device,
        fmt::format("no backup GPT could be put behind the last partition: {}", fit.kept_because));
  }
  left_out_ = size_ - size;
  table_changed_ = !fit.patches.empty();
  size_ = size;
  overlay_.emplace(source(), std::move(fit.patches), size);
  lost_ = io::RangeMap<bool>(size_, false);  // the copy comes to what it needs of these places
}

void CaptureJob::look_for_truncation() {
  io::Source& disk = overlay_ ? static_cast<io::Source&>(*overlay_) : *disk_;
  try {
    cut_short_ = note_of_truncation(ring_, disk, options_.device);
  } catch (const io::Error& error) {
    // What cannot be read of the table may be rescued yet.
    if (!options_.rescue || error.kind() == io::ErrorKind::cancelled) throw;
  }
}

// File systems are judged by all of the disk, also when only its beginning is captured.
void CaptureJob::find_unused() {
  const io::BlockDevice* device = inventory_.find_path(options_.device);
  formats::FreeSpaceOptions options;
  options.trust_maps = options_.trust_maps;
  if (options_.drop_swap) options.discarded = formats::DiscardedContent::free;
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
  identity.target = kept_file_identity(options_.output, *output_->file());
  identity.content = terminal_text(content_identity(ring_, *disk_, stop_));
  // What is free now may have been in use when the last run passed it.
  if (unused_) identity.source += " " + unused_->identity();
  journal_file_.emplace(*options_.mapfile, identity, options_.target.resume);
  copies_.front().journal = &journal_file_->journal();
  if (options_.target.resume) remember_what_is_there();
  copies_.front().save_journal = [this](io::Journal& journal) {
    // Their zeros were written with the chunks around them, which does not make them done.
    for (const auto& entry : lost_) {
      if (entry.value) journal.mark_bad(entry.range);
    }
    journal_file_->save();
  };
}

void CaptureJob::remember_what_is_there() {
  kept_image_ = io::File(output_->file()->path(), O_RDONLY);
  if (kept_image_.size() < size_) {
    throw io::Error::refusal(kept_image_.path(),
                             fmt::format("has {} bytes, and the run to go on with left {}: remove "
                                         "{}, and start anew without --resume",
                                         kept_image_.size(), size_, *options_.mapfile));
  }
  done_before_ = copies_.front().journal->states();
  refuse_other_disk(ring_, source(), kept_image_, *done_before_, stop_);
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
    if (!options_.target.resume) {
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

OutputPlan CaptureJob::plan_target() const {
  OutputPlan plan = plan_output(options_.target, options_.output, size_);
  if (options_.mapfile && !plan.can_be_resumed()) {
    throw UsageError("capture: --mapfile works with plain raw images only");
  }
  return plan;
}

// A job that can be resumed may go on when there is room again; a failing disk is not read twice.
void CaptureJob::check_space(const OutputPlan& plan) {
  if (plan.path == "-" || options_.rescue || options_.mapfile) return;
  if (io::exists(plan.path) && io::status_of(plan.path).kind != io::FileKind::regular) return;
  space_warning_ = check_disk_space(ring_, source(), plan, workers_);
}

void CaptureJob::open_output(OutputPlan plan) {
  output_ = std::make_unique<ImageOutput>(ring_, std::move(plan), size_,
                                          std::vector<std::string>{options_.device}, workers_,
                                          nullptr, stop_);
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
          options_.device, phrase_of(use));
    }
  }
  return "";
}

std::string CaptureJob::advice() const {
  return journal_file_ && !unused_changed_ ? journal_file_->advice() : "";
}

std::vector<io::ByteRange> CaptureJob::ranges_to_copy() const {
  if (!options_.target.resume) return {io::ByteRange{0, size_}};
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
    written_meanwhile_ = source_state() != state_before_;
    check_unused();
    if (options_.digest && digest_.empty()) hash_result(observer);
    if (bmap_file_ && !bmap_) map_result(observer);
    if (bmap_) write_bmap();
    output_->finish(size_);
    if (bmap_) bmap_file_->publish();
  } catch (const io::Error& error) {
    keep_for_resume();
    throw output_->explained(error, copies_.front(), size_);
  } catch (...) {
    keep_for_resume();
    throw;
  }
}

SourceState CaptureJob::source_state() const {
  const io::FileStatus status = disk_file_.status();
  if (status.kind == io::FileKind::regular) return {0, status.size, status.modified_ns};
  const io::BlockDevice* device = inventory_.find(status.identity.device);
  const auto activity = device != nullptr ? inventory_.activity(*device) : std::nullopt;
  return {activity ? activity->writes : 0, status.size, 0};
}

void CaptureJob::write_bmap() {
  const std::string text = formats::bmap::to_text(*bmap_);
  bmap_file_->file().write_at(0, std::as_bytes(std::span(text)));
}

void CaptureJob::keep_for_resume() {
  output_->keep_partial(options_.mapfile && !unused_changed_);
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
  if (bmap_file_ && !options_.target.resume) recorder.emplace(ring_, source());
  io::Source& disk = recorder ? static_cast<io::Source&>(*recorder) : source();
  io::WorkerPool worker(1);
  std::optional<io::ContentDigest> digest;
  io::Copier copier(ring_, disk, copies_, copy_options_, observer, stop_);
  if (options_.digest && !options_.target.resume) {
    digest.emplace(ring_, worker, *options_.digest);
    copier.hash_content(&*digest);
  }
  copier.run(ranges_to_copy());
  if (stop_.load() == 0 || journal_file_) copier.flush();
  io::throw_if_stopped(stop_, options_.device);
  if (copies_.front().error) throw io::Error(*copies_.front().error);
  if (digest) digest_ = digest_of_disk(ring_, *digest, size_, output_->plan().disk_size(size_));
  if (recorder) bmap_ = recorder->take(size_);
}

std::uint64_t CaptureJob::data_bytes() const {
  return output_->content_bytes().value_or(copies_.front().data_bytes);
}

// A resumed run has not seen all of the content; the image has it.
void CaptureJob::hash_result(io::CopyObserver& observer) {
  io::FileSource result(ring_, *output_->file(), size_, true);
  digest_ = hash_content(ring_, result, *options_.digest, copy_options_, observer, stop_).hex;
}

void CaptureJob::map_result(io::CopyObserver& observer) {
  io::FileSource result(ring_, *output_->file(), size_, true);
  formats::bmap::Recorder recorder(ring_, result);
  io::read_whole(ring_, recorder, copy_options_, observer, stop_);
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
