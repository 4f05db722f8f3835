#include "formats/images/block_image.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>

#include <fmt/format.h>

#include "io/error.hpp"

namespace formats {
namespace {

// An extent may end before its kind does; this keeps the search for its end short.
constexpr unsigned most_block_runs = 4096;
// The file is not asked for holes in shorter runs: blocks in no order would each cost a question.
constexpr std::uint64_t longest_unasked = 64 * io::KiB;
constexpr std::uint64_t largest_unit = 2 * io::MiB;  // as qcow2's

}  // namespace

BlockImage::BlockImage(io::Ring& ring, Format format, std::unique_ptr<io::File> file,
                       std::unique_ptr<BlockMap> map, bool direct, io::WorkerPool* workers,
                       ImageBelow below)
    : ring_(ring),
      workers_(workers),
      format_(format),
      file_(std::move(file)),
      map_(std::move(map)),
      stored_(ring, *file_, file_->size(), false),
      below_(std::move(below)),
      decode_([this](const PackedBlock& block, std::span<const std::byte> stream) {
        decode(block, stream);
      }) {
  if (direct) direct_file_ = file_->opened_direct();
  if (direct_file_.is_open()) {
    plain_ = &direct_.emplace(ring, direct_file_, *stored_.size(), true);
  }
}

// Lanes have buffers of that size, so it is none that only large ones could follow.
std::uint64_t BlockImage::cluster_size() const {
  const std::uint64_t size = map_->block_size();
  return std::has_single_bit(size) && size <= largest_unit ? size : 1;
}

std::vector<const io::File*> BlockImage::files() const {
  std::vector<const io::File*> all = {file_.get()};
  if (below_.image) {
    const auto more = below_.image->files();
    all.insert(all.end(), more.begin(), more.end());
  }
  return all;
}

// --- where things are -----------------------------------------------------------------------

io::Extent BlockImage::extent_at(std::uint64_t offset) {
  assert(offset < map_->guest_size());
  if (!last_extent_.range.contains(offset)) last_extent_ = find_extent(offset);
  return {io::range_between(offset, last_extent_.range.end()), last_extent_.kind};
}

// Puts runs of one kind together.
io::Extent BlockImage::find_extent(std::uint64_t offset) {
  io::Extent extent{{offset, 0}, io::ExtentKind::data};
  const std::uint64_t size = map_->guest_size();
  for (unsigned i = 0; i < most_block_runs && extent.range.end() < size; ++i) {
    const std::uint64_t end = extent.range.end();
    const io::Extent next = extent_of(map_->run_at(end, size - end));
    if (i > 0 && next.kind != extent.kind) break;
    extent.kind = next.kind;
    extent.range.length += next.range.length;
  }
  return extent;
}

bool BlockImage::ends_here(const BlockRun& run) const {
  return below_.image == nullptr || below_.offset + run.guest >= below_.image->size().value();
}

io::Extent BlockImage::extent_of(const BlockRun& run) {
  io::Extent extent{{run.guest, run.length}, io::ExtentKind::data};
  if (run.kind == BlockKind::absent && ends_here(run)) {
    extent.kind = io::ExtentKind::hole;
  } else if (run.kind == BlockKind::absent) {
    const io::Extent inner = below_.image->extent_at(below_.offset + run.guest);
    extent.kind = inner.kind;
    extent.range.length = std::min(run.length, inner.range.length);
  }
  if (run.kind == BlockKind::zero) extent.kind = io::ExtentKind::zero;
  if (run.kind == BlockKind::plain && run.length > longest_unasked && run.host < *stored_.size()) {
    const io::Extent inner = stored_.extent_at(run.host);
    extent.kind = inner.kind;
    extent.range.length = std::min(run.length, inner.range.length);
  }
  return extent;
}

Placement BlockImage::placement_at(std::uint64_t offset) {
  const BlockRun run = map_->run_at(offset, map_->guest_size() - offset);
  if (run.kind == BlockKind::absent && !ends_here(run)) {
    Placement placement = below_.image->placement_at(below_.offset + offset);
    placement.range = {offset, std::min(run.length, placement.range.length)};
    ++placement.depth;
    return placement;
  }
  const io::Extent extent = extent_of(run);
  Placement placement;
  placement.range = extent.range;
  placement.present = run.kind != BlockKind::absent;
  const bool unknown = run.kind == BlockKind::absent && below_.left_out;
  placement.zero = extent.reads_as_zero() && !unknown;
  placement.data = !extent.reads_as_zero();
  placement.compressed = run.kind == BlockKind::packed;
  if (run.kind == BlockKind::plain) placement.offset = run.host;
  return placement;
}

// --- reading --------------------------------------------------------------------------------

io::Task<std::size_t> BlockImage::read(io::ByteRange range, io::Buffer buffer) {
  ReadPlan plan = plan_read(range, buffer);
  co_await plan.carry_out(ring_, workers_, decode_);
  co_return range.length;
}

// What needs no file is filled in at once; what remains is in the plan.
ReadPlan BlockImage::plan_read(io::ByteRange range, io::Buffer buffer) {
  assert(range.end() <= map_->guest_size());
  ReadPlan plan;
  for (std::uint64_t done = 0; done < range.length;) {
    const BlockRun run = map_->run_at(range.offset + done, range.length - done);
    refuse_past_end(run);
    const io::Buffer out = buffer.subspan(done, run.length);
    switch (run.kind) {
      case BlockKind::absent:
        if (!ends_here(run)) {
          plan.add(*below_.image, {below_.offset + run.guest, run.length}, out);
          break;
        }
        [[fallthrough]];
      case BlockKind::zero:
        std::memset(out.bytes.data(), 0, out.bytes.size());
        break;
      case BlockKind::memory:
        std::memcpy(out.bytes.data(), run.memory, out.bytes.size());
        break;
      case BlockKind::plain:
        plan.add(*plain_, {run.host, run.length}, out);
        break;
      case BlockKind::packed:
        plan.add_packed(stored_, {run.guest, {run.host, run.stored_bytes}, out});
        break;
    }
    done += run.length;
  }
  return plan;
}

// The map has looked; but the file may be another one by now.
void BlockImage::refuse_past_end(const BlockRun& run) const {
  std::uint64_t bytes = 0;
  if (run.kind == BlockKind::plain) bytes = run.length;
  if (run.kind == BlockKind::packed) bytes = run.stored_bytes;
  const std::uint64_t size = *stored_.size();
  if (bytes == 0 || (run.host < size && bytes <= size - run.host)) return;
  throw io::Error::format(name(), run.host,
                          fmt::format("the file ends at {}, before the data of guest offset {}; "
                                      "was it changed?",
                                      size, run.guest));
}

// On any thread: touches nothing that changes.
void BlockImage::decode(const PackedBlock& block, std::span<const std::byte> stream) const {
  const std::span<std::byte> out = block.out.bytes;
  const io::ByteRange range = map_->packed_block(block.guest);
  const std::uint64_t inside = block.guest - range.offset;
  bool good = false;
  if (out.size() == range.length) {
    good = map_->unpack(range.offset, stream, out);
  } else {
    std::vector<std::byte> whole(range.length);
    good = map_->unpack(range.offset, stream, whole);
    std::copy_n(whole.begin() + static_cast<std::ptrdiff_t>(inside), out.size(), out.begin());
  }
  if (good) return;
  throw io::Error::format(
      name(), block.place.offset,
      fmt::format("the compressed data of guest offset {} is damaged", block.guest));
}

}  // namespace formats
