#include "imgtool/jobs/rebase_job.hpp"

#include <algorithm>
#include <cstring>
#include <thread>

#include <fcntl.h>
#include <fmt/format.h>

#include "formats/images/probe.hpp"
#include "formats/images/qcow2/free_clusters.hpp"
#include "formats/images/qcow2/header_switch.hpp"
#include "formats/images/reference.hpp"
#include "imgtool/jobs/edited_chain.hpp"
#include "imgtool/jobs/edited_file.hpp"
#include "io/error.hpp"

namespace imgtool {
namespace {

namespace qcow2 = formats::qcow2;

constexpr std::uint64_t rebase_piece = 4 * io::MiB;  // whole clusters of any size

}  // namespace

RebaseJob::RebaseJob(io::Ring& ring, RebaseOptions options, const io::StopFlag& stop)
    : ring_(ring),
      options_(std::move(options)),
      stop_(stop),
      workers_(std::max(1U, std::thread::hardware_concurrency())),
      image_(open_qcow2_alone(options_.path, "a backing file")),
      now_(qcow2::read_editable(image_)),
      next_(now_) {
  next_.backing_file = options_.base;
  next_.backing_format = options_.base.empty() || !options_.base_format
                             ? std::string()
                             : std::string(formats::name_of(*options_.base_format));
  if (!options_.base.empty()) {
    formats::refuse_special_name(options_.path, options_.base);
    if (now_.raw_external_data) {
      throw io::Error(io::ErrorKind::unsupported, options_.path,
                      "has a raw data file, which cannot lie over a backing file");
    }
    if (options_.base.size() > qcow2::longest_backing_name) {
      throw io::Error(io::ErrorKind::unsupported, options_.path,
                      fmt::format("takes names of backing files of up to {} bytes, not of {}",
                                  qcow2::longest_backing_name, options_.base.size()));
    }
  }
  if (options_.only_name) return;
  qcow2::refuse_unwritable(image_, now_);
  if (!now_.backing_file.empty()) {
    refuse_reference(options_.path, now_.backing_file, options_.follow_references);
  }
  qcow2::refuse_damaged(image_, stop_);
  old_ = open_locked(ring_, image_, formats::Format::qcow2, workers_, {image_.status().identity});
  if (!options_.base.empty()) open_new_base();
}

void RebaseJob::open_new_base() {
  const std::string path = formats::reference_path(options_.path, options_.base);
  const io::FileIdentity own = image_.status().identity;
  const auto refuse_cycle = [&](const io::File& file) {
    if (file.status().identity != own) return;
    throw io::Error::refusal(options_.path,
                             fmt::format("would lie over itself: {} is it, or lies over it", path));
  };
  const io::File file(path, O_RDONLY);
  refuse_cycle(file);
  const formats::Format format = options_.base_format.value_or(formats::probe(file));
  if (format != formats::Format::raw && format != formats::Format::qcow2) {
    throw io::Error(io::ErrorKind::unsupported, path,
                    "cannot be a backing file; only raw and qcow2 images can");
  }
  next_.backing_format = formats::name_of(format);
  if (format == formats::Format::qcow2) {
    const auto header = qcow2::read_header(file);
    if (!header.backing_file.empty()) {
      refuse_reference(path, header.backing_file, options_.follow_references);
      (void)chain_below(file, std::nullopt);
    }
  }
  base_ = open_locked(ring_, file, format, workers_, {own});
  for (const io::File* opened : base_->files()) refuse_cycle(*opened);
}

void RebaseJob::run(io::CopyObserver& observer) {
  if (options_.only_name) {
    qcow2::write_header(image_, next_);
    return;
  }
  old_content_.emplace(rebase_piece);
  new_content_.emplace(rebase_piece);
  qcow2::DiskEditor editor(image_, now_, next_);
  const std::uint64_t size = *old_->size();
  observer.begin(io::Phase::write, 0, size);
  for (std::uint64_t offset = 0; offset < size;) {
    io::throw_if_stopped(stop_, options_.path);
    const io::ByteRange range = next_range(offset);
    const std::uint64_t end = range.empty() ? size : std::min(range.end(), size);
    if (!range.empty()) compare_and_write(range, editor);
    observer.completed(io::Phase::write, 0, end - offset);
    observer.tick();
    offset = end;
  }
  observer.end(io::Phase::write, 0);
  observer.begin(io::Phase::flush, 0, std::nullopt);
  editor.finish();
  observer.end(io::Phase::flush, 0);
  data_bytes_ = editor.data_bytes();
  zero_bytes_ = editor.zero_bytes();
  const io::StopFlag to_the_end{0};
  qcow2::release_room_behind(image_, to_the_end);
}

// What is at `at` of the old content and the new: whether they may differ there, and how far that
// holds.
RebaseJob::Look RebaseJob::look_at(std::uint64_t at) const {
  const formats::Placement placement = old_->placement_at(at);
  Look look{false, placement.range.end()};
  if (placement.depth == 0 && placement.present) return look;
  const io::Extent before = old_->extent_at(at);
  look.end = std::min(look.end, before.range.end());
  look.may_differ = !before.reads_as_zero();
  if (base_ == nullptr || at >= *base_->size()) return look;
  const io::Extent after = base_->extent_at(at);
  look.end = std::min(look.end, after.range.end());
  look.may_differ = look.may_differ || !after.reads_as_zero();
  return look;
}

// From `offset` on, the first clusters of which a part shows what is below, and may show something
// else over the new base. Empty: there are none.
io::ByteRange RebaseJob::next_range(std::uint64_t offset) const {
  const std::uint64_t size = *old_->size();
  const std::uint64_t cluster = now_.geometry.cluster_size();
  std::uint64_t at = offset;
  while (at < size) {
    const Look look = look_at(at);
    if (look.may_differ) break;
    at = look.end;
  }
  if (at >= size) return {};
  const std::uint64_t begin = io::align_down(at, cluster);
  std::uint64_t end = begin;
  while (at < size && end < begin + rebase_piece) {
    const Look look = look_at(at);
    if (!look.may_differ) break;
    at = end = io::align_up(look.end, cluster);
  }
  return io::range_between(begin, std::min(end, begin + rebase_piece));
}

void RebaseJob::compare_and_write(io::ByteRange range, qcow2::DiskEditor& editor) {
  const std::uint64_t size = *old_->size();
  const io::ByteRange shown = io::intersection(range, {0, size});
  const auto read = [&](io::Source& image, io::AlignedMemory& memory) {
    const auto bytes = memory.bytes().first(range.length);
    read_or_zeros(ring_, image, shown, memory.buffer());
    std::memset(bytes.data() + shown.length, 0, range.length - shown.length);
    return bytes;
  };
  const auto before = read(*old_, *old_content_);
  const auto after = new_content_->bytes().first(range.length);
  if (base_ != nullptr) {
    read(*base_, *new_content_);
  } else {
    std::memset(after.data(), 0, after.size());
  }
  const std::uint64_t cluster = now_.geometry.cluster_size();
  const auto differs = [&](std::uint64_t at) {
    return std::memcmp(before.data() + at, after.data() + at, cluster) != 0;
  };
  for (std::uint64_t at = 0; at < range.length; at += cluster) {
    std::uint64_t end = at;
    while (end < range.length && differs(end)) end += cluster;
    if (end == at) continue;
    editor.write({range.offset + at}, before.subspan(at, end - at));
    at = end;  // is the same, or the end
  }
}

}  // namespace imgtool
