#include "imgtool/jobs/burn_head.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "imgtool/jobs/claimed_capacity.hpp"
#include "io/difference.hpp"
#include "io/error.hpp"

namespace imgtool {
namespace {

bool disjoint(io::ByteRange chunk, const std::vector<io::Patch>& patches) {
  return std::none_of(patches.begin(), patches.end(), [chunk](const io::Patch& patch) {
    return !io::intersection(chunk, patch.range()).empty();
  });
}

}  // namespace

BurnHead::BurnHead(io::Ring& ring, BurnState& state, BurnMender& mender, std::uint64_t size,
                   const io::CopyOptions& copy, io::CopyObserver& observer,
                   const io::StopFlag& stop)
    : ring_(ring),
      state_(state),
      mender_(mender),
      size_(size),
      copy_(copy),
      observer_(observer),
      stop_(stop) {
  copy_.lanes = 1;
  copy_.bytes_per_second = 0;
}

io::ByteRange BurnHead::range_on(std::size_t target) const {
  return {0, std::min(size_, state_.places[target]->capacity())};
}

std::vector<io::ByteRange> BurnHead::not_zeros(std::size_t target) {
  const io::ByteRange range = range_on(target);
  if (range.empty() || !mender_.verifies()) return {};
  const auto medium = state_.media[target]->read_back(range.length);
  const io::AlignedMemory memory(range.length);
  const io::AlignedMemory zeros(range.length);
  io::run_task(ring_, medium->read(range, memory.buffer()), [this] { observer_.tick(); });
  return io::differences(zeros.bytes().first(range.length), memory.bytes().first(range.length), 0);
}

void BurnHead::write_zeros(std::size_t target) {
  const io::ByteRange range = range_on(target);
  const io::AlignedMemory zeros(range.length);
  const io::Buffer buffer = zeros.buffer().first(range.length);
  io::run_task(ring_, state_.media[target]->target().write(0, buffer));
}

void BurnHead::wipe(std::size_t target) {
  BurnResult& result = state_.results[target];
  result.head = HeadState::unknown;
  try {
    io::Target& medium = state_.media[target]->target();
    io::run_task(ring_, medium.zero(range_on(target)));
    io::run_task(ring_, medium.flush());
    auto bad = not_zeros(target);
    if (!bad.empty()) {  // the device may take zeroing requests and do nothing
      write_zeros(target);
      io::run_task(ring_, medium.flush());
      bad = not_zeros(target);
    }
    if (bad.empty()) {
      result.head = HeadState::wiped;
      return;
    }
    result.bad_ranges = bad;
    mender_.fail_as_different(
        target,
        fmt::format("its first MiB was wiped and does not read as zeros: {} bytes in {} "
                    "places, the first at offset {}",
                    io::total_length(bad), bad.size(), bad.front().offset),
        std::nullopt);
  } catch (const io::Error& error) {
    mender_.fail(target, error);
  }
}

void BurnHead::check_still_wiped(std::size_t target, const BurnContent& rest) {
  try {
    const auto bad = not_zeros(target);
    if (bad.empty()) return;
    state_.results[target].bad_ranges = bad;
    std::vector<io::ByteRange> chunks;
    const std::uint64_t step = rest.ledger.chunk_size();
    for (std::uint64_t at = 0; at < range_on(target).length; at += step) {
      chunks.push_back(io::range_between(at, std::min(at + step, range_on(target).length)));
    }
    auto real_size = mender_.size_by_content(rest, target, chunks);
    if (!real_size) real_size = mender_.size_by_repetition(rest.size, target, bad, nullptr);
    mender_.fail_as_different(target,
                              "its first MiB was wiped and is no longer zeros: what was written "
                              "elsewhere has come out there",
                              real_size);
    take_back(target);
  } catch (const io::Error& error) {
    if (error.kind() == io::ErrorKind::cancelled) throw;
    mender_.fail(target, error);
  }
}

void BurnHead::write(io::MemorySource& head, const std::vector<std::size_t>& targets) {
  for (const std::size_t index : targets) state_.results[index].head = HeadState::unknown;
  try {
    write_unguarded(head, targets);
  } catch (...) {
    for (const std::size_t index : targets) take_back(index);
    throw;
  }
  for (const std::size_t index : targets) {
    if (state_.copies[index].live()) {
      state_.results[index].head = HeadState::complete;
    } else {
      take_back(index);
    }
  }
}

void BurnHead::write_unguarded(io::MemorySource& head, const std::vector<std::size_t>& targets) {
  const io::ByteRange all{0, head.bytes().size()};
  io::ChunkLedger ledger(copy_.chunk_size);
  std::vector<io::CopyTarget> some;
  some.reserve(targets.size());
  for (const std::size_t index : targets) some.push_back(state_.copies[index]);
  io::Copier copier(ring_, head, some, copy_, observer_, stop_);
  copier.keep_digests(&ledger);
  copier.run({all});
  copier.flush();
  for (std::size_t i = 0; i < some.size(); ++i) state_.copies[targets[i]] = some[i];
  mender_.throw_if_stopped();
  mender_.verify_and_mend({&head, ledger, all.length}, targets, {all});
}

void BurnHead::check_aliases(std::size_t target, const BurnContent& rest) {
  const BurnPlace& place = *state_.places[target];
  if (!mender_.verifies() || !place.sector_size()) return;  // a file claims no size
  const auto& patches = state_.results[target].table.fit.patches;
  const std::uint64_t end = std::min(rest.size, place.capacity());
  const std::uint64_t step = rest.ledger.chunk_size();
  std::vector<io::ByteRange> chunks;
  const auto suspect = [&](std::uint64_t offset) {
    const std::uint64_t begin = io::align_down(offset, step);
    const io::ByteRange chunk = io::range_between(begin, std::min(begin + step, end));
    if (begin >= size_ && begin < end && disjoint(chunk, patches)) chunks.push_back(chunk);
  };
  for (const std::uint64_t size : usual_real_sizes(place.capacity())) {
    suspect(size);
    for (const io::Patch& patch : patches) {
      if (patch.offset >= size) suspect(patch.offset % size);
    }
  }
  std::sort(chunks.begin(), chunks.end(),
            [](io::ByteRange a, io::ByteRange b) { return a.offset < b.offset; });
  chunks.erase(std::unique(chunks.begin(), chunks.end()), chunks.end());
  if (chunks.empty()) return;
  const auto bad = mender_.bad_chunks(rest, target, chunks);
  if (bad.empty()) return;
  mender_.fail_as_different(target,
                            fmt::format("bytes at offset {} changed when the first MiB and the "
                                        "partition table were written",
                                        bad.front().offset),
                            bad.front().offset);
  take_back(target);
}

void BurnHead::take_back(std::size_t target) {
  if (state_.media[target] == nullptr) return;
  const auto bad_ranges = state_.results[target].bad_ranges;  // say what happened first
  wipe(target);
  if (!bad_ranges.empty()) state_.results[target].bad_ranges = bad_ranges;
}

}  // namespace imgtool
