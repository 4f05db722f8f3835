#include "io/scratch_overlay.hpp"

#include <algorithm>
#include <cassert>
#include <cerrno>

#include "io/buffer_pool.hpp"
#include "io/error.hpp"

namespace io {
namespace {

constexpr std::uint64_t least_granule = buffer_alignment;
constexpr std::uint64_t most_place_bytes = 16 * MiB;
constexpr unsigned granules_a_byte = 4;
constexpr unsigned place_bits = 2;
constexpr unsigned place_mask = 3;
// How far a run is followed: a caller asks again behind it.
constexpr std::uint64_t longest_run = std::uint64_t{1} << 16;  // granules

std::uint64_t granule_for(std::uint64_t size) {
  std::uint64_t granule = least_granule;
  while (size / granule / granules_a_byte >= most_place_bytes) granule *= 2;
  return granule;
}

}  // namespace

ScratchOverlay::ScratchOverlay(Ring& ring, Source& base, File& file, std::uint64_t size)
    : ring_(ring),
      base_(base),
      file_{{file.fd(), -1, true}, file.path()},
      size_(size),
      granule_(granule_for(size)),
      places_(size / granule_ / granules_a_byte + 1) {
  assert(base.seekable() && base.size().has_value());
  file.truncate(size);
}

ScratchOverlay::Place ScratchOverlay::place_of(std::uint64_t granule) const {
  const unsigned shift = place_bits * static_cast<unsigned>(granule % granules_a_byte);
  return static_cast<Place>((places_[granule / granules_a_byte] >> shift) & place_mask);
}

void ScratchOverlay::set_place(std::uint64_t granule, Place place) {
  const unsigned shift = place_bits * static_cast<unsigned>(granule % granules_a_byte);
  if (place == Place::file && place_of(granule) != Place::file) written_ += granule_;
  if (place != Place::file && place_of(granule) == Place::file) written_ -= granule_;
  std::uint8_t& byte = places_[granule / granules_a_byte];
  byte = static_cast<std::uint8_t>((byte & ~(place_mask << shift)) |
                                   (static_cast<unsigned>(place) << shift));
}

ByteRange ScratchOverlay::run_at(std::uint64_t offset, std::uint64_t end) const {
  const std::uint64_t first = offset / granule_;
  const Place place = place_of(first);
  std::uint64_t next = first + 1;
  while (next * granule_ < end && next - first < longest_run && place_of(next) == place) ++next;
  return range_between(offset, std::min(end, next * granule_));
}

std::uint64_t ScratchOverlay::base_end() const { return std::min(size_, base_.size().value()); }

Extent ScratchOverlay::extent_at(std::uint64_t offset) {
  assert(offset < size_);
  const ByteRange run = run_at(offset, size_);
  switch (place_of(offset / granule_)) {
    case Place::file:
      return {run, ExtentKind::data};
    case Place::nowhere:
      return {run, ExtentKind::zero};
    case Place::base:
      break;
  }
  if (offset >= base_end()) return {run, ExtentKind::hole};
  Extent extent = base_.extent_at(offset);
  extent.range = range_between(offset, std::min({extent.range.end(), run.end(), base_end()}));
  return extent;
}

Task<std::size_t> ScratchOverlay::read(ByteRange range, Buffer buffer) {
  assert(range.end() <= size_);
  // From front to back: a source may leave anything behind what it was asked for.
  for (std::uint64_t at = range.offset; at < range.end();) {
    const ByteRange run = run_at(at, range.end());
    const std::size_t place = run.offset - range.offset;
    const Buffer rest = buffer.subspan(place, buffer.bytes.size() - place);
    co_await read_run(run, rest);
    at = run.end();
  }
  co_return range.length;
}

Task<> ScratchOverlay::read_run(ByteRange run, Buffer buffer) {
  const Place place = place_of(run.offset / granule_);
  if (place == Place::base) {
    co_await read_base(run, buffer);
    co_return;
  }
  const Buffer wanted = buffer.first(run.length);
  std::size_t count = 0;
  if (place == Place::file) count = co_await read_full(ring_, file_, run.offset, wanted);
  std::fill(wanted.bytes.begin() + static_cast<std::ptrdiff_t>(count), wanted.bytes.end(),
            std::byte{0});
}

Task<> ScratchOverlay::read_base(ByteRange run, Buffer buffer) {
  const ByteRange stored = intersection(run, {0, base_end()});
  const bool fits = buffer.bytes.size() >= align_up(stored.length, buffer_alignment) &&
                    reinterpret_cast<std::uintptr_t>(buffer.bytes.data()) % buffer_alignment == 0;
  if (!stored.empty() && fits) {
    (void)co_await base_.read(stored, buffer);
  } else if (!stored.empty()) {
    const AlignedMemory memory(stored.length);
    (void)co_await base_.read(stored, memory.buffer());
    std::copy_n(memory.bytes().begin(), stored.length, buffer.bytes.begin());
  }
  const auto behind = buffer.bytes.first(run.length).subspan(stored.length);
  std::fill(behind.begin(), behind.end(), std::byte{0});
}

Task<> ScratchOverlay::bring(std::uint64_t offset) {
  const std::uint64_t granule = offset / granule_;
  if (place_of(granule) == Place::file) co_return;
  const ByteRange range =
      range_between(granule * granule_, std::min(size_, (granule + 1) * granule_));
  const AlignedMemory memory(granule_);
  co_await read_run(range, memory.buffer());
  co_await write_full(ring_, file_, range.offset, memory.buffer().first(range.length));
  set_place(granule, Place::file);
}

Task<> ScratchOverlay::bring_edges(ByteRange range) {
  if (range.offset % granule_ != 0) co_await bring(range.offset);
  const bool ends_within = range.end() % granule_ != 0 && range.end() < size_;
  if (ends_within) co_await bring(range.end());
}

void ScratchOverlay::refuse_behind_end(ByteRange range) const {
  if (range.length > size_ || range.offset > size_ - range.length) {
    throw Error::system("write", name(), ENOSPC, range);
  }
}

Task<> ScratchOverlay::write(std::uint64_t offset, Buffer buffer) {
  const ByteRange range{offset, buffer.bytes.size()};
  refuse_behind_end(range);
  if (range.empty()) co_return;
  co_await bring_edges(range);
  co_await write_full(ring_, file_, offset, buffer);
  const std::uint64_t last = (range.end() - 1) / granule_;
  for (std::uint64_t one = offset / granule_; one <= last; ++one) set_place(one, Place::file);
}

Task<> ScratchOverlay::zero(ByteRange range) {
  refuse_behind_end(range);
  const bool to_the_end = range.end() == size_;
  const std::uint64_t first = align_up(range.offset, granule_);
  const std::uint64_t last =
      to_the_end ? align_up(size_, granule_) : align_down(range.end(), granule_);
  for (std::uint64_t at = first; at < last; at += granule_)
    set_place(at / granule_, Place::nowhere);
  // What is left are parts of a granule, at its begin or end, or inside of one.
  const ByteRange head = range_between(range.offset, std::min(first, range.end()));
  const ByteRange tail = range_between(std::max(last, head.end()), range.end());
  const std::array edges = {head, tail};
  for (const ByteRange& edge : edges) {
    if (edge.empty()) continue;
    const AlignedMemory zeros(edge.length);
    co_await write(edge.offset, zeros.buffer().first(edge.length));
  }
}

Task<> ScratchOverlay::flush() { co_return; }

}  // namespace io
