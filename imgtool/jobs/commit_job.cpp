#include "imgtool/jobs/commit_job.hpp"

#include <algorithm>
#include <thread>

#include <fmt/format.h>

#include "formats/images/qcow2/bitmap_editor.hpp"
#include "formats/images/qcow2/free_clusters.hpp"
#include "formats/images/qcow2/resize.hpp"
#include "formats/images/qcow2/snapshot_editor.hpp"
#include "imgtool/jobs/edited_file.hpp"
#include "io/error.hpp"
#include "io/zero_run.hpp"

namespace imgtool {
namespace {

namespace qcow2 = formats::qcow2;

constexpr std::uint64_t commit_piece = 4 * io::MiB;  // whole clusters of any size
constexpr std::size_t raw_zero_grain = 4 * io::KiB;

}  // namespace

CommitJob::CommitJob(io::Ring& ring, CommitOptions options, const io::StopFlag& stop)
    : ring_(ring),
      options_(std::move(options)),
      stop_(stop),
      workers_(std::max(1U, std::thread::hardware_concurrency())),
      overlay_(open_qcow2_alone(options_.path, "a backing file")),
      header_(qcow2::read_editable(overlay_)) {
  if (header_.backing_file.empty()) {
    throw io::Error::refusal(options_.path, "has no backing file to be committed into");
  }
  refuse_reference(options_.path, header_.backing_file, options_.follow_references);
  if (header_.external_data) {
    throw io::Error(io::ErrorKind::unsupported, options_.path,
                    "has an external data file; qemu-img can commit it");
  }
  find_base();
  // Where images lie between, it would show what these have, not what it had.
  if (options_.base) options_.keep = true;
  if (!options_.keep) qcow2::refuse_damaged(overlay_, stop_);
  check_base();
}

void CommitJob::find_base() {
  std::optional<io::FileIdentity> wanted;
  if (options_.base) wanted = io::status_of(*options_.base).identity;
  const auto links = chain_below(overlay_, wanted);
  depth_ = wanted ? static_cast<unsigned>(links.size()) : 1;
  base_link_ = links[depth_ - 1];
}

// What would stop the job halfway is found before it begins.
void CommitJob::check_base() {
  base_ = open_alone(base_link_.path, true);
  if (base_.status().identity != base_link_.identity) {
    throw io::Error::refusal(base_link_.path, "became another file while it was opened");
  }
  size_before_ = base_.size();
  if (is_qcow2()) {
    const qcow2::Header header = qcow2::read_editable(base_);
    qcow2::refuse_damaged(base_, stop_);
    qcow2::refuse_unwritable(base_, header);
    size_before_ = header.virtual_size;
  } else if (base_.status().kind == io::FileKind::block_device &&
             size_before_ < header_.virtual_size) {
    throw io::Error::refusal(
        base_link_.path, fmt::format("has {} bytes, fewer than the overlay's disk, which has {}",
                                     size_before_, header_.virtual_size));
  }
  base_size_ = size_before_;
}

void CommitJob::grow_base() {
  if (size_before_ >= header_.virtual_size) return;
  base_size_ = header_.virtual_size;
  if (is_qcow2()) {
    qcow2::grow(base_, base_size_, stop_);
  } else {
    base_.truncate(base_size_);
    base_.sync();
  }
}

// Afresh after each change of the base: a reader remembers where its tables are.
void CommitJob::open_source() {
  source_.reset();
  source_ = open_locked(ring_, overlay_, formats::Format::qcow2, workers_,
                        {overlay_.status().identity, base_link_.identity});
}

void CommitJob::record_in_bitmaps() {
  unit_ = qcow2::read_editable(base_).geometry.cluster_size();
  qcow2::record_in_all(base_, stop_, [this] {
    return [this, at = std::uint64_t{0}]() mutable {
      const io::ByteRange range = next_range(at);
      at = range.empty() ? at : range.end();
      return range;
    };
  });
}

void CommitJob::open_target() {
  below_ = open_locked(ring_, base_, base_link_.format, workers_, {base_link_.identity});
  if (is_qcow2()) {
    const qcow2::Header header = qcow2::read_editable(base_);
    editor_.emplace(base_, header, header);
  }
  may_punch_ = base_.status().kind == io::FileKind::regular;
  buffer_.emplace(commit_piece + unit_);
}

void CommitJob::run(io::CopyObserver& observer) {
  grow_base();
  open_source();
  if (is_qcow2()) {
    record_in_bitmaps();
    open_source();
  }
  open_target();
  const std::uint64_t size = *source_->size();
  observer.begin(io::Phase::write, 0, size);
  for (std::uint64_t offset = 0; offset < size;) {
    io::throw_if_stopped(stop_, options_.path);
    const io::ByteRange range = next_range(offset);
    if (!range.empty()) copy(range);
    const std::uint64_t end = range.empty() ? size : std::min(range.end(), size);
    observer.completed(io::Phase::write, 0, end - offset);
    observer.tick();
    offset = end;
  }
  observer.end(io::Phase::write, 0);
  observer.begin(io::Phase::flush, 0, std::nullopt);
  if (editor_) {
    editor_->finish();
    data_bytes_ = editor_->data_bytes();
    zero_bytes_ = editor_->zero_bytes();
    editor_.reset();
  } else {
    base_.sync();
  }
  observer.end(io::Phase::flush, 0);
  // All that the overlay has is in the base: what follows only gives room back.
  const io::StopFlag to_the_end{0};
  if (is_qcow2()) qcow2::release_room_behind(base_, to_the_end);
  if (options_.keep) return;
  qcow2::empty_disk(overlay_, to_the_end);
  qcow2::release_room_behind(overlay_, to_the_end);
  emptied_ = true;
}

// From `offset` on, the first range in which the overlay says something, in whole units of the
// base; its end may be that of the overlay's disk. Empty: there is none.
io::ByteRange CommitJob::next_range(std::uint64_t offset) const {
  const std::uint64_t size = *source_->size();
  std::uint64_t at = offset;
  while (at < size) {
    const formats::Placement placement = source_->placement_at(at);
    if (placement.depth < depth_) break;
    at = placement.range.end();
  }
  if (at >= size) return {};
  const std::uint64_t begin = io::align_down(at, unit_);
  std::uint64_t end = begin;
  while (at < size && end < begin + commit_piece) {
    const formats::Placement placement = source_->placement_at(at);
    if (placement.depth >= depth_) break;
    at = end = io::align_up(placement.range.end(), unit_);
  }
  return io::range_between(begin, std::min({end, begin + commit_piece, size}));
}

void CommitJob::copy(io::ByteRange range) {
  const io::Buffer buffer = buffer_->buffer();
  read_or_zeros(ring_, *source_, range, buffer);
  if (!editor_) {
    write_raw(range);
    return;
  }
  // The base's last unit may go on behind the overlay's end.
  const std::uint64_t whole = io::align_up(range.length, unit_);
  if (whole > range.length) {
    const io::AlignedMemory rest(unit_ + io::buffer_alignment);
    read_or_zeros(ring_, *below_, {range.end(), whole - range.length}, rest.buffer());
    std::copy_n(rest.bytes().begin(), whole - range.length,
                buffer.bytes.begin() + static_cast<std::ptrdiff_t>(range.length));
  }
  editor_->write({range.offset}, buffer.bytes.first(whole));
}

void CommitJob::write_raw(io::ByteRange range) {
  const auto content = buffer_->bytes().first(range.length);
  for (const io::Run run : io::zero_runs(content, raw_zero_grain)) {
    const io::ByteRange part{range.offset + run.offset, run.length};
    (run.zero ? zero_bytes_ : data_bytes_) += run.length;
    if (run.zero && may_punch_ && base_.punch_hole(part)) continue;
    base_.write_at(part.offset, content.subspan(run.offset, run.length));
  }
}

}  // namespace imgtool
