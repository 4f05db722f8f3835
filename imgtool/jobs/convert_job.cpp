#include "imgtool/jobs/convert_job.hpp"

#include <fmt/format.h>
#include <filesystem>

#include "formats/images/block_formats.hpp"
#include "formats/images/bmap/recorder.hpp"
#include "formats/images/qcow2/header.hpp"
#include "imgtool/jobs/content_hash.hpp"
#include "imgtool/jobs/disk_space.hpp"
#include "imgtool/jobs/output_path.hpp"
#include "imgtool/jobs/partition_table_fit.hpp"
#include "io/content_digest.hpp"
#include "io/error.hpp"

namespace imgtool {

namespace {

// The search for what is free takes many small reads, which the page cache makes large ones.
formats::OpenOptions opening(const ConvertOptions& options) {
  formats::OpenOptions open = options.open;
  if (!options.drop_free) open.page_cache = formats::PageCache::used_if_warm;
  open.any_place = options.drop_free || options.skip > 0 || options.count || options.salvage;
  const bool is_file =
      options.output != "-" &&
      (!io::exists(options.output) || io::status_of(options.output).kind == io::FileKind::regular);
  if (is_file) open.spool.beside = std::filesystem::absolute(options.output).parent_path().native();
  return open;
}

}  // namespace

ConvertJob::ConvertJob(io::Ring& ring, ConvertOptions options, const io::StopFlag& stop)
    : ring_(ring),
      options_(std::move(options)),
      stop_(stop),
      workers_(options_.threads),
      source_(ring, options_.source, opening(options_), stop_, options_.threads),
      copies_(1) {
  if (const auto size = source_.source().size()) refuse_empty(*size);
  look_for_more_than_the_disk();
  if (source_.source().seekable()) {
    choose_part();
    if (options_.salvage) go_on_past_damage();
    if (!window_) cut_short_ = note_of_truncation(ring_, disk(), options_.source);
  } else {
    refuse_options_of_disks();
    head_.emplace(source_.source());
  }
  if (options_.drop_free) find_unused();
  open_output();
  if (options_.bmap) {
    check_size_for_bmap(input().size().value_or(0));
    std::vector<std::string> others = read_paths();
    others.push_back(options_.output);
    const io::DeviceInventory inventory;
    check_output_path(*options_.bmap, others, io::DeviceUsage(inventory));
    bmap_file_ = std::make_unique<io::OutputFile>(*options_.bmap, options_.target.force);
  }
}

void ConvertJob::look_for_more_than_the_disk() {
  const formats::Image* image = source_.image();
  if (image == nullptr || image->format() != formats::Format::qcow2) return;
  const auto header = formats::qcow2::read_header(*image->files().front());
  if (header.bitmaps && header.bitmaps_consistent) left_behind_.bitmaps = header.bitmaps->count;
  left_behind_.snapshots = header.snapshot_count;
}

void ConvertJob::refuse_options_of_disks() const {
  if (options_.skip == 0 && !options_.count && !options_.salvage) return;
  throw io::Error(io::ErrorKind::unsupported, options_.source,
                  fmt::format("is a stream, which is read from its beginning to its end: {} needs "
                              "an image that can be read at any place; convert it to one first",
                              options_.salvage ? "--salvage" : "a part of it (--skip, --count)"));
}

void ConvertJob::choose_part() {
  if (options_.skip == 0 && !options_.count) return;
  const std::uint64_t size = source_.source().size().value();
  if (options_.skip > size) {
    throw io::Error(
        io::ErrorKind::unsupported, options_.source,
        fmt::format("has {} bytes of disk, and --skip leaves out {}", size, options_.skip));
  }
  const std::uint64_t rest = size - options_.skip;
  window_.emplace(source_.source(),
                  io::ByteRange{options_.skip, std::min(rest, options_.count.value_or(rest))});
}

void ConvertJob::go_on_past_damage() {
  constexpr std::uint32_t sector = 512;
  lost_ = io::RangeMap<bool>(disk().size().value(), false);
  rescue_.emplace(
      disk(), sector, [this](io::ByteRange range, std::span<std::byte>) { lost_.set(range, true); },
      io::Damage::medium_or_image);
}

std::vector<io::ByteRange> ConvertJob::lost() const {
  std::vector<io::ByteRange> ranges;
  for (const auto& entry : lost_) {
    if (entry.value) ranges.push_back(entry.range);
  }
  return ranges;
}

// An image whose header says so is the disk of no size that was asked for.
void ConvertJob::refuse_empty(std::uint64_t size) const {
  const formats::Image* image = source_.image();
  if (image != nullptr &&
      (image->format() == formats::Format::qcow2 || formats::is_block_format(image->format()))) {
    return;
  }
  source_.refuse_empty(size);
}

void ConvertJob::open_output() {
  std::optional<std::uint64_t> size = disk().size();
  std::optional<BackingReference> reference;
  if (const auto choice = backing_choice(options_.target, options_.output)) {
    formats::OpenOptions open;
    open.follow_references = options_.open.follow_references;
    open.force_share = options_.open.force_share;
    open.way_past_lock = options_.open.way_past_lock;
    open.workers = &workers_;
    backing_.emplace(ring_, *choice, options_.output, open);
    reference = backing_->reference();
  }
  options_.target.follow_references = options_.open.follow_references;
  OutputPlan plan = plan_output(options_.target, options_.output, size, reference);
  if (size) size = pad_disk(plan, *size);
  output_ = std::make_unique<ImageOutput>(ring_, std::move(plan), size, read_paths(), workers_,
                                          backing_ ? &backing_->image() : nullptr, stop_);
}

// Gives the disk's new size.
std::uint64_t ConvertJob::pad_disk(const OutputPlan& plan, std::uint64_t size) {
  const bool azure_takes_it = size % io::MiB == 0;
  const bool fixed =
      plan.format == formats::Format::vpc && plan.vhd_kind == formats::vhd::Kind::fixed;
  if (plan.alignment == 1) {
    if (fixed && !azure_takes_it) {
      size_note_ = "note: Azure takes only disks of whole MiB; -o align=1M makes this one longer";
    }
    return size;
  }
  const std::uint64_t padded = plan.disk_size(size);
  if (padded == size) return size;
  if (!source_.source().seekable()) {
    throw io::Error::refusal(options_.source,
                             "is a stream, which -o align cannot make longer; "
                             "make a raw image of it first");
  }
  padded_.emplace(ring_, input(), padded, stop_);
  size_note_ = padded_->note();
  return padded;
}

std::vector<std::string> ConvertJob::read_paths() const {
  std::vector<std::string> paths = source_.paths();
  if (backing_) {
    for (std::string& path : backing_->paths()) paths.push_back(std::move(path));
  }
  return paths;
}

// burn would find a map of another size beside the image.
void ConvertJob::check_size_for_bmap(std::uint64_t size) const {
  if (output_->plan().disk_size(size) == size) return;
  throw io::Error(io::ErrorKind::unsupported, options_.source,
                  fmt::format("has {} bytes, and {} counts in larger units, so no block map fits; "
                              "make a raw or zst image, or leave out --bmap-out",
                              size, formats::name_of(output_->plan().format)));
}

void ConvertJob::find_unused() {
  unused_ =
      find_unused_space(ring_, disk(), options_.source, {options_.trust_maps, options_.drop_swap});
  filter_ = unused_->filter(disk(), io::align_up(source_.cluster_size(), io::buffer_alignment));
}

io::Source& ConvertJob::disk() {
  if (head_) return *head_;
  if (rescue_) return *rescue_;
  return window_ ? static_cast<io::Source&>(*window_) : source_.source();
}

io::Source& ConvertJob::input() {
  if (padded_) return padded_->disk();
  return filter_ ? static_cast<io::Source&>(*filter_) : disk();
}

void ConvertJob::choose_sizes() {
  TuningOptions tuning;
  tuning.rate = options_.rate;
  // No size: nothing is verified, so there are no digests of chunks to bound.
  copy_options_ =
      choose_copy_options(tuning, std::nullopt, output_->queues(), source_.cluster_size());
  output_->tune_for(copy_options_, options_.threads);
}

std::string ConvertJob::check_space() {
  const OutputPlan& plan = output_->plan();
  const bool in_place = plan.existing || !output_->disks().empty();
  if (in_place || plan.path == "-" || backing_) return "";
  return check_disk_space(ring_, input(), plan, workers_);
}

void ConvertJob::run(io::CopyObserver& observer) {
  try {
    output_->start();
    choose_sizes();
    copy(observer);
    source_.check_unchanged();
    if (unused_) unused_->check_unchanged();
    observer.begin(io::Phase::flush, 0, std::nullopt);
    remark_ = output_->finish(size_);
    if (bmap_file_) bmap_file_->publish();
    observer.end(io::Phase::flush, 0);
  } catch (const io::Error& error) {
    throw output_->explained(error, copies_.front(), input().size());
  }
}

void ConvertJob::copy(io::CopyObserver& observer) {
  copies_.front().target = &output_->target();
  io::WorkerPool digest_worker(options_.digest ? 1 : 0);
  std::optional<io::ContentDigest> digest;
  std::optional<formats::bmap::Recorder> recorder;
  if (bmap_file_) recorder.emplace(ring_, input());
  io::Source& disk = recorder ? static_cast<io::Source&>(*recorder) : input();
  if (options_.digest) digest.emplace(ring_, digest_worker, *options_.digest);
  size_ = io::copy_whole(ring_, disk, copies_, copy_options_, observer, stop_,
                         {.digest = digest ? &*digest : nullptr});
  refuse_empty(size_);
  if (head_) cut_short_ = head_->note_of_truncation(ring_, size_, options_.source);
  if (digest) digest_ = digest_of_disk(ring_, *digest, size_, output_->plan().disk_size(size_));
  if (recorder) {
    check_size_for_bmap(size_);
    const std::string text = formats::bmap::to_text(recorder->take(size_));
    bmap_file_->file().write_at(0, std::as_bytes(std::span(text)));
  }
}

std::uint64_t ConvertJob::content_bytes() const {
  return output_->content_bytes().value_or(copies_.front().data_bytes);
}

}  // namespace imgtool
