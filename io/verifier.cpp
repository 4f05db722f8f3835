#include "io/verifier.hpp"

#include <algorithm>
#include <cassert>
#include <cerrno>

#include "io/buffer_pool.hpp"
#include "io/difference.hpp"
#include "io/plan.hpp"

namespace io {
namespace {

constexpr std::uint64_t sample_ends = 16 * MiB;

// Spreads the sample evenly, without a pattern that a device's own could hide behind.
std::uint64_t scattered(std::uint64_t value) {
  value ^= value >> 33;
  value *= 0xff51afd7ed558ccdULL;
  value ^= value >> 33;
  return value;
}

bool device_is_gone(const Error& error) {
  const int number = error.error_number();
  return number == ENODEV || number == ENXIO || number == ENOMEDIUM;
}

}  // namespace

Verifier::Verifier(Ring& ring, ChunkLedger& ledger, Source* image, const VerifyOptions& options,
                   CopyObserver& observer, const StopFlag& stop)
    : ring_(ring),
      ledger_(ledger),
      image_(image),
      options_(options),
      observer_(observer),
      stop_(stop),
      rate_(options.bytes_per_second),
      tasks_(ring),
      learners_(ring) {}

bool Verifier::in_sample(ByteRange chunk, const std::vector<ByteRange>& ranges) const {
  if (!options_.sample) return true;
  const std::uint64_t begin = ranges.front().offset;
  const std::uint64_t end = ranges.back().end();
  if (chunk.offset < begin + sample_ends || chunk.end() + sample_ends > end) return true;
  return scattered(ledger_.index_of(chunk.offset)) % *options_.sample == 0;
}

std::optional<ByteRange> Verifier::next_chunk(Cursor& cursor) const {
  const auto& ranges = *cursor.ranges;
  while (!abandoned_ && stop_.load() == 0 && cursor.current < ranges.size()) {
    const ByteRange& range = ranges[cursor.current];
    const std::uint64_t begin = std::max(cursor.position, range.offset);
    if (begin >= range.end()) {
      ++cursor.current;
      continue;
    }
    const ByteRange chunk =
        range_between(begin, std::min(begin + ledger_.chunk_size(), range.end()));
    cursor.position = chunk.end();
    if (in_sample(chunk, ranges)) return chunk;
  }
  return std::nullopt;
}

void Verifier::run(std::vector<Medium>& media, const std::vector<ByteRange>& ranges) {
  if (media.empty()) return;
  std::uint64_t total = 0;
  Cursor counting{&ranges};
  while (const auto chunk = next_chunk(counting)) total += chunk->length;

  const unsigned lanes_each = std::max(2U, options_.lanes / static_cast<unsigned>(media.size()));
  const BufferPool buffers(ring_, lanes_each * static_cast<unsigned>(media.size()),
                           ledger_.chunk_size());
  std::vector<Cursor> cursors(media.size(), Cursor{&ranges});
  unsigned lane = 0;
  for (std::size_t index = 0; index < media.size(); ++index) {
    observer_.begin(Phase::verify, media[index].index, total);
    for (unsigned count = 0; count < lanes_each; ++count, ++lane) {
      tasks_.spawn(verify_lane(media[index], cursors[index], buffers.at(lane)));
    }
  }
  tasks_.run([this] { observer_.tick(); });
  for (Medium& medium : media) {
    if (stop_.load() == 0) observer_.end(Phase::verify, medium.index);
    std::sort(medium.bad_chunks.begin(), medium.bad_chunks.end(),
              [](const ByteRange& a, const ByteRange& b) { return a.offset < b.offset; });
  }
}

Task<> Verifier::verify_lane(Medium& medium, Cursor& cursor, Buffer buffer) {
  while (const auto chunk = next_chunk(cursor)) {
    co_await rate_.pace(ring_, chunk->length, stop_);
    if (stop_.load() != 0) co_return;
    try {
      co_await learn(*chunk, buffer);
    } catch (...) {
      abandoned_ = true;
      throw;
    }
    const bool matters =
        ledger_.state(ledger_.index_of(chunk->offset)) != ChunkLedger::State::unknown;
    if (matters && !co_await is_as_recorded(medium, *chunk, buffer)) {
      medium.bad_chunks.push_back(*chunk);
    }
    observer_.completed(Phase::verify, medium.index, chunk->length);
    if (!matters) co_await ring_.yield();
  }
}

// Sees to it that the ledger knows the chunk, unless it is to be skipped. Media that come to it at
// the same time share one read of the image.
Task<> Verifier::learn(ByteRange chunk, Buffer buffer) {
  const std::uint64_t index = ledger_.index_of(chunk.offset);
  while (being_learned_.contains(index)) co_await learners_.wait();
  if (ledger_.state(index) != ChunkLedger::State::unknown) co_return;
  if (image_ == nullptr) co_return;  // the copy recorded all that it did not skip
  const ExtentKind kind = kind_of(*image_, chunk);
  if (kind == ExtentKind::hole) ledger_.record_zeros(chunk);
  if (kind != ExtentKind::data) co_return;
  being_learned_.insert(index);
  try {
    co_await image_->read(chunk, buffer);
  } catch (...) {
    being_learned_.erase(index);
    learners_.wake_all();
    throw;
  }
  ledger_.record(index, buffer.bytes.first(chunk.length));
  being_learned_.erase(index);
  learners_.wake_all();
}

Task<bool> Verifier::is_as_recorded(Medium& medium, ByteRange chunk, Buffer buffer) {
  if (medium.read_error && device_is_gone(*medium.read_error)) co_return false;
  try {
    co_await medium.source->read(chunk, buffer);
  } catch (const Error& error) {
    if (!medium.read_error) medium.read_error = error;
    co_return false;
  }
  co_return ledger_.matches(ledger_.index_of(chunk.offset), buffer.bytes.first(chunk.length));
}

std::vector<ByteRange> Verifier::locate(Medium& medium, std::size_t limit) {
  std::vector<ByteRange> found;
  for (const ByteRange& chunk : medium.bad_chunks) {
    if (found.size() >= limit || stop_.load() != 0) break;
    run_task(ring_, locate_in_chunk(medium, chunk, found), [this] { observer_.tick(); });
  }
  if (found.size() > limit) found.resize(limit);
  return found;
}

Task<> Verifier::locate_in_chunk(Medium& medium, ByteRange chunk, std::vector<ByteRange>& found) {
  const bool zeros = ledger_.state(ledger_.index_of(chunk.offset)) == ChunkLedger::State::zeros;
  if (!zeros && image_ == nullptr) {
    append_difference(found, chunk);
    co_return;
  }
  const AlignedMemory expected(ledger_.chunk_size());
  const AlignedMemory actual(ledger_.chunk_size());
  if (!zeros) co_await image_->read(chunk, expected.buffer());
  try {
    co_await medium.source->read(chunk, actual.buffer());
  } catch (const Error&) {
    append_difference(found, chunk);
    co_return;
  }
  const auto different = differences(expected.bytes().first(chunk.length),
                                     actual.bytes().first(chunk.length), chunk.offset);
  // A medium that reads well now did not when it was looked at.
  if (different.empty()) append_difference(found, chunk);
  for (const ByteRange& range : different) append_difference(found, range);
}

}  // namespace io
