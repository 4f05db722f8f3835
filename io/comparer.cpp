#include "io/comparer.hpp"

#include <algorithm>
#include <cstring>

#include "io/difference.hpp"
#include "io/error.hpp"
#include "io/zero_run.hpp"

namespace io {

Comparer::Comparer(Ring& ring, Source& a, Source& b, const CompareOptions& options,
                   CopyObserver& observer, const StopFlag& stop)
    : ring_(ring), a_{a}, b_{b}, options_(options), observer_(observer), stop_(stop) {}

// That of the longer one.
std::uint64_t Comparer::end() const {
  return std::max(a_.size().value_or(stream_limit), b_.size().value_or(stream_limit));
}

Comparison Comparer::run() {
  BufferPool buffers(ring_, 2 * options_.lanes, options_.chunk_size);
  TaskGroup lanes(ring_);
  const bool known = a_.size() && b_.size();
  observer_.begin(Phase::read, 0, known ? std::optional(end()) : std::nullopt);
  for (unsigned lane = 0; lane < options_.lanes; ++lane) {
    lanes.spawn(compare_lane(buffers.at(2 * lane), buffers.at(2 * lane + 1)));
  }
  lanes.run([this] { observer_.tick(); });
  throw_if_stopped(stop_, a_.source.name());
  Comparison result;
  result.complete = position_ >= end();
  if (result.complete) observer_.end(Phase::read, 0);
  for (const auto& [chunk, ranges] : found_) {
    for (const ByteRange range : ranges) append_difference(result.differences, range);
  }
  return result;
}

Task<> Comparer::compare_lane(Buffer of_a, Buffer of_b) {
  try {
    while (const auto chunk = next_chunk()) {
      const bool a_has_data = co_await read_chunk(a_, *chunk, of_a);
      const bool b_has_data = co_await read_chunk(b_, *chunk, of_b);
      const auto content_a = of_a.bytes.first(chunk->length);
      const auto content_b = of_b.bytes.first(chunk->length);
      if (a_has_data && b_has_data) {
        note(*chunk, differences(content_a, content_b, chunk->offset));
      } else if (const auto content = a_has_data ? content_a : content_b; !is_zero(content)) {
        const auto zeros = a_has_data ? content_b : content_a;
        std::memset(zeros.data(), 0, zeros.size());
        note(*chunk, differences(content, zeros, chunk->offset));
      }
      observer_.completed(Phase::read, 0, chunk->length);
    }
  } catch (...) {
    abandoned_ = true;
    throw;
  }
}

// The next chunk that holds data on either side.
std::optional<ByteRange> Comparer::next_chunk() {
  while (!abandoned_ && stop_.load(std::memory_order_relaxed) == 0 && position_ < end() &&
         found_count_ <= options_.most_differences) {
    const Extent a = extent_of(a_, position_, end());
    const Extent b = extent_of(b_, position_, end());
    if (a.reads_as_zero() && b.reads_as_zero()) {
      const std::uint64_t next = std::min(a.range.end(), b.range.end());
      observer_.completed(Phase::read, 0, next - position_);
      position_ = next;
      continue;
    }
    const std::uint64_t chunk_end =
        std::min(align_down(position_, options_.chunk_size) + options_.chunk_size, end());
    const ByteRange chunk = range_between(position_, chunk_end);
    position_ = chunk_end;
    return chunk;
  }
  return std::nullopt;
}

Extent Comparer::extent_of(Side& side, std::uint64_t offset, std::uint64_t end) {
  if (offset >= side.size().value_or(end)) return {range_between(offset, end), ExtentKind::hole};
  return side.source.extent_at(offset);
}

bool Comparer::holds_data(Side& side, ByteRange chunk) {
  for (std::uint64_t offset = chunk.offset; offset < chunk.end();) {
    const Extent extent = extent_of(side, offset, chunk.end());
    if (!extent.reads_as_zero()) return true;
    offset = extent.range.end();
  }
  return false;
}

Task<bool> Comparer::read_chunk(Side& side, ByteRange chunk, Buffer buffer) {
  if (!holds_data(side, chunk)) co_return false;
  const ByteRange there = intersection(chunk, {0, side.size().value_or(chunk.end())});
  const std::size_t count = co_await side.source.read(there, buffer);
  const auto rest = buffer.bytes.subspan(count, chunk.length - count);
  if (!rest.empty()) std::memset(rest.data(), 0, rest.size());
  co_return true;
}

void Comparer::note(ByteRange chunk, std::vector<ByteRange> found) {
  if (found.empty()) return;
  found_count_ += found.size();
  found_[chunk.offset] = std::move(found);
}

}  // namespace io
