#include "formats/disks/disk_view.hpp"

#include <algorithm>
#include <cassert>

#include "io/error.hpp"
#include "io/task_group.hpp"

namespace formats {
namespace {

// Requests to the source begin and end at multiples of this, so that they can go to the disk
// directly, whatever its sectors are.
constexpr std::uint64_t page = io::buffer_alignment;

}  // namespace

DiskView::DiskView(io::Ring& ring, io::Source& source, const io::StopFlag* stop)
    : DiskView(ring, source, stop, io::ByteRange{0, source.size().value_or(0)}) {
  assert(source.seekable());
}

DiskView::DiskView(io::Ring& ring, io::Source& source, const io::StopFlag* stop,
                   io::ByteRange window)
    : ring_(ring), source_(source), stop_(stop), window_(window) {}

DiskView DiskView::part(io::ByteRange range) const {
  assert(holds(range.offset, range.length));
  return {ring_, source_, stop_, io::ByteRange{begin() + range.offset, range.length}};
}

std::vector<std::byte> DiskView::read(std::uint64_t offset, std::size_t length) {
  if (!holds(offset, length)) {
    throw io::Error::format(name(), begin() + std::min(offset, size()),
                            "the disk or partition ends before what it should hold here");
  }
  if (length == 0) return {};
  const std::uint64_t first = begin() + offset;
  if (!cached_.contains(first) || cached_.end() < first + length) fill(first, first + length);
  const auto from = memory_->bytes().subspan(first - cached_.offset, length);
  return {from.begin(), from.end()};
}

bool DiskView::is_hole() const {
  for (std::uint64_t at = begin(); at < window_.end();) {
    if (stop_ != nullptr) io::throw_if_stopped(*stop_, name());
    const io::Extent extent = source_.extent_at(at);
    if (!extent.reads_as_zero()) return false;
    at = extent.range.end();
  }
  return true;
}

void DiskView::fill(std::uint64_t begin, std::uint64_t end) {
  if (stop_ != nullptr) io::throw_if_stopped(*stop_, name());
  const std::uint64_t source_end = source_.size().value_or(0);
  const std::uint64_t from = io::align_down(begin, page);
  const io::ByteRange wanted =
      io::range_between(from, std::min(io::align_up(end, page), source_end));
  cached_ = {};
  if (!memory_ || memory_->bytes().size() < wanted.length) {
    memory_.emplace(io::align_up(wanted.length, page));
  }
  io::run_task(ring_, source_.read(wanted, memory_->buffer()));
  cached_ = wanted;
}

}  // namespace formats
