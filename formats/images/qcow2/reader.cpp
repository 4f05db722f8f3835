#include "formats/images/qcow2/reader.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>

#include <fmt/format.h>

#include "formats/images/qcow2/decompress.hpp"
#include "formats/images/qcow2/refcounts.hpp"
#include "io/error.hpp"

namespace formats::qcow2 {
namespace {

// An extent may end before its kind does; this keeps the search for its end short.
constexpr unsigned most_runs_in_extent = 4096;

void fill_with_zeros(std::span<std::byte> bytes) {
  if (!bytes.empty()) std::memset(bytes.data(), 0, bytes.size());
}

void refuse_encrypted(const Header& header, const std::string& path) {
  if (header.encryption == Encryption::none) return;
  throw io::Error(io::ErrorKind::unsupported, path,
                  fmt::format("is encrypted ({}), which imgtool cannot read; decrypt it with "
                              "qemu-img convert --image-opts first",
                              header.encryption == Encryption::luks ? "LUKS" : "AES"));
}

}  // namespace

// --- opening --------------------------------------------------------------------------------

Qcow2Image::Qcow2Image(io::Ring& ring, io::File file, const ReaderOptions& options)
    : ring_(ring),
      workers_(options.workers),
      file_(std::move(file)),
      tables_(file_),
      header_(read_header(file_)),
      mapping_(make_mapping(options.snapshot)),
      stored_(ring, file_, tables_.file_size(), false),
      decode_([this](const PackedBlock& block, std::span<const std::byte> stream) {
        decode(block, stream);
      }) {
  if (!options.layout_only) refuse_encrypted(header_, name());
  if (options.direct) direct_file_ = file_.opened_direct();
  if (direct_file_.is_open()) {
    data_ = &direct_.emplace(ring, direct_file_, tables_.file_size(), true);
  }
  open_references(options);
}

Mapping Qcow2Image::make_mapping(const std::string& snapshot) {
  const L2Rules rules{header_.geometry, header_.version > 2, header_.external_data};
  if (snapshot.empty()) {
    return {tables_, rules,
            load_l1(tables_, header_.geometry, header_.l1_offset, header_.l1_entries),
            header_.virtual_size};
  }
  const SnapshotTable table = read_snapshots(tables_, header_);
  const Snapshot* wanted = find_snapshot(table.snapshots, snapshot);
  if (wanted == nullptr) {
    throw io::Error(io::ErrorKind::format, name(),
                    fmt::format("has no snapshot with id or name '{}'", snapshot));
  }
  return {tables_, rules, load_l1(tables_, header_, *wanted), wanted->disk_size};
}

void Qcow2Image::open_references(const ReaderOptions& options) {
  const auto open = [&](std::string_view what, const std::string& reference,
                        const std::string& format) -> std::unique_ptr<Image> {
    if (options.open_reference) return options.open_reference(reference, format);
    if (options.layout_only) return nullptr;
    throw io::Error(
        io::ErrorKind::refused, name(),
        fmt::format("needs its {} '{}'; give --follow-references to open it", what, reference));
  };
  if (header_.external_data) {
    data_file_ = open("data file", header_.data_file, "raw");
    data_ = data_file_.get();
  }
  if (!header_.backing_file.empty()) {
    backing_ = open("backing file", header_.backing_file, header_.backing_format);
  }
}

std::vector<const io::File*> Qcow2Image::files() const {
  std::vector<const io::File*> all = {&file_};
  for (const Image* named : {data_file_.get(), backing_.get()}) {
    if (named == nullptr) continue;
    const auto more = named->files();
    all.insert(all.end(), more.begin(), more.end());
  }
  return all;
}

// --- where things are -----------------------------------------------------------------------

io::Extent Qcow2Image::extent_at(std::uint64_t offset) {
  assert(offset < mapping_.guest_size());
  if (!last_extent_.range.contains(offset)) last_extent_ = find_extent(offset);
  return {io::range_between(offset, last_extent_.range.end()), last_extent_.kind};
}

// Puts runs of one kind together.
io::Extent Qcow2Image::find_extent(std::uint64_t offset) {
  io::Extent extent{{offset, 0}, io::ExtentKind::data};
  for (unsigned i = 0; i < most_runs_in_extent && extent.range.end() < mapping_.guest_size(); ++i) {
    const GuestOffset end{extent.range.end()};
    const io::Extent next = extent_of(mapping_.run_at(end, mapping_.guest_size() - end.value));
    if (i > 0 && next.kind != extent.kind) break;
    extent.kind = next.kind;
    extent.range.length += next.range.length;
  }
  return extent;
}

io::Extent Qcow2Image::extent_of(const Run& run) {
  io::Extent extent{{run.guest.value, run.length}, io::ExtentKind::data};
  const auto narrow_to = [&](io::Source& source, std::uint64_t at) {
    const std::uint64_t size = *source.size();
    if (at >= size) {
      extent.kind = io::ExtentKind::hole;
      return;
    }
    const io::Extent inner = source.extent_at(at);
    extent.kind = inner.kind;
    extent.range.length = std::min(extent.range.length, inner.range.length);
  };
  if (run.kind == RunKind::zero) {
    extent.kind = io::ExtentKind::zero;
  } else if (run.kind == RunKind::unallocated) {
    extent.kind = io::ExtentKind::hole;
    if (backing_ != nullptr) narrow_to(*backing_, run.guest.value);
  } else if (run.kind == RunKind::data && data_ != nullptr && preallocated()) {
    if (run.host->value < *data_->size()) narrow_to(*data_, run.host->value);
  }
  return extent;
}

bool Qcow2Image::preallocated() {
  if (!preallocated_) preallocated_ = looks_preallocated(file_, tables_, header_);
  return *preallocated_;
}

Placement Qcow2Image::placement_at(std::uint64_t offset) {
  const GuestOffset guest{offset};
  const Run run = mapping_.run_at(guest, mapping_.guest_size() - offset);
  if (run.kind == RunKind::unallocated && !header_.backing_file.empty()) {
    return backing_placement(run);
  }
  Placement placement;
  placement.range = {offset, run.length};
  placement.present = run.kind != RunKind::unallocated;
  placement.zero = run.kind == RunKind::zero || run.kind == RunKind::unallocated;
  placement.data = !placement.zero;
  placement.compressed = run.kind == RunKind::compressed;
  if (!placement.compressed && header_.encryption == Encryption::none && run.host) {
    placement.offset = run.host->value;
  }
  if (run.kind == RunKind::data && data_ != nullptr && preallocated()) {
    const io::Extent inner = extent_of(run);
    placement.range.length = inner.range.length;
    placement.zero = inner.reads_as_zero();
  }
  return placement;
}

Placement Qcow2Image::backing_placement(const Run& run) {
  Placement placement;
  placement.range = {run.guest.value, run.length};
  if (run.host) placement.offset = run.host->value;
  if (backing_ == nullptr) return placement;
  const std::uint64_t size = *backing_->size();
  if (run.guest.value >= size) {
    placement.zero = true;
    return placement;
  }
  placement = backing_->placement_at(run.guest.value);
  placement.range.length = std::min(placement.range.length, run.length);
  ++placement.depth;
  return placement;
}

// --- reading --------------------------------------------------------------------------------

io::Task<std::size_t> Qcow2Image::read(io::ByteRange range, io::Buffer buffer) {
  ReadPlan plan = plan_read(range, buffer);
  co_await plan.carry_out(ring_, workers_, decode_);
  co_return range.length;
}

// Zeros are filled in at once; what remains is in the plan.
ReadPlan Qcow2Image::plan_read(io::ByteRange range, io::Buffer buffer) {
  assert(range.end() <= mapping_.guest_size());
  ReadPlan plan;
  for (std::uint64_t done = 0; done < range.length;) {
    const Run run = mapping_.run_at({range.offset + done}, range.length - done);
    plan_run(run, buffer.subspan(done, run.length), plan);
    done += run.length;
  }
  return plan;
}

void Qcow2Image::plan_run(const Run& run, io::Buffer buffer, ReadPlan& plan) {
  switch (run.kind) {
    case RunKind::compressed:
      refuse_past_end(run);
      plan.add_packed(stored_, {run.guest.value, {run.host->value, run.stored_bytes}, buffer});
      return;
    case RunKind::data:
      refuse_past_end(run);
      if (data_ == nullptr) break;
      plan.add(*data_, {run.host->value, run.length}, buffer);
      return;
    case RunKind::unallocated:
      if (backing_ == nullptr) break;
      plan.add(*backing_, {run.guest.value, run.length}, buffer);
      return;
    case RunKind::zero:
      break;
  }
  fill_with_zeros(buffer.bytes);
}

void Qcow2Image::refuse_past_end(const Run& run) const {
  if (run.kind == RunKind::data && data_file_ != nullptr) return;
  const bool compressed = run.kind == RunKind::compressed;
  const std::uint64_t unit = compressed ? stream_unit : header_.geometry.cluster_size();
  const std::uint64_t limit = io::align_up(tables_.file_size(), unit);
  const std::uint64_t length = compressed ? run.stored_bytes : run.length;
  // The end of a stream may be missing, not all of it: nothing would be left to decode.
  const std::uint64_t last_begin = compressed ? tables_.file_size() - 1 : limit;
  if (run.host->value <= last_begin && length <= limit - run.host->value) return;
  throw io::Error::format(
      name(), run.host->value,
      fmt::format("here should be the {} of guest offset {}, but the file ends at {}: it was cut "
                  "short",
                  compressed ? "compressed data" : "data", run.guest.value, tables_.file_size()));
}

// On any thread: touches nothing that changes.
void Qcow2Image::decode(const PackedBlock& block, std::span<const std::byte> stream) const {
  const std::uint64_t cluster_size = header_.geometry.cluster_size();
  const std::span<std::byte> out = block.out.bytes;
  bool good = false;
  if (out.size() == cluster_size) {
    good = decompress(header_.compression, stream, out);
  } else {
    std::vector<std::byte> cluster(cluster_size);
    good = decompress(header_.compression, stream, cluster);
    const std::uint64_t inside = header_.geometry.offset_in_cluster(block.guest);
    std::copy_n(cluster.begin() + static_cast<std::ptrdiff_t>(inside), out.size(), out.begin());
  }
  if (good) return;
  throw io::Error::format(
      name(), block.place.offset,
      fmt::format("the compressed data of guest offset {} is damaged", block.guest));
}

}  // namespace formats::qcow2
