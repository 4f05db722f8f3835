#include "imgtool/jobs/burn_job.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "formats/disks/partitions/gpt.hpp"
#include "imgtool/jobs/job.hpp"
#include "io/error.hpp"
#include "io/overlay_source.hpp"
#include "io/zero_run.hpp"

namespace imgtool {
namespace {

constexpr std::uint64_t head_size = 1 * io::MiB;
bool holds_gpt(std::span<const std::byte> head) {
  for (const std::size_t place : {512U, 4096U}) {
    if (head.size() < place) continue;
    if (formats::partitions::has_header_signature(head.subspan(place))) return true;
  }
  return false;
}

constexpr std::size_t most_resume_samples = 32;  // chunks
constexpr std::size_t most_resume_candidates = 256;

}  // namespace

BurnJob::BurnJob(io::Ring& ring, io::Source& image, std::vector<BurnPlace*> places,
                 BurnJobOptions options, io::CopyObserver& observer, const io::StopFlag& stop)
    : ring_(ring),
      image_(image),
      options_(std::move(options)),
      observer_(clock_),
      stop_(stop),
      clock_(observer, places.size()),
      state_(std::move(places)),
      mender_(ring, state_, image, options_.verify, options_.copy, observer_, stop),
      ledger_(options_.copy.chunk_size) {
  if (options_.algorithm) {
    worker_.emplace(1);
    content_digest_.emplace(ring_, *worker_, *options_.algorithm);
  }
}

void BurnJob::keep_journal(std::size_t target, io::Journal& journal,
                           std::function<void(io::Journal&)> save) {
  state_.copies[target].journal = &journal;
  state_.copies[target].save_journal = std::move(save);
}

void BurnJob::run() {
  try {
    read_head();
    check_tables();
    start_targets();
    check_resumed();
    wipe_heads();
    mark_ends();
    if (state_.any_live()) copy_rest();
    if (state_.any_live()) complete();
  } catch (...) {
    take_back_heads();
    collect_results();
    throw;
  }
  collect_results();
}

// What was not looked at to the end must not look complete.
void BurnJob::take_back_heads() {
  for (std::size_t index = 0; index < state_.results.size(); ++index) {
    if (state_.results[index].head == HeadState::complete) head_step_->take_back(index);
  }
}

// All of the image but its head is on the targets that are left.
void BurnJob::complete() {
  mender_.verify_and_mend(rest_content(), state_.live(),
                          {io::range_between(head_->bytes().size(), size_)});
  take_back_where_addresses_wrap();
  check_ends();
  if (!state_.any_live()) return;
  check_digest();
  if (options_.check_image) options_.check_image();
  fit_tables();
  write_heads();
  finish_targets();
}

// Writes to addresses that a medium does not have may have come out in its wiped head.
void BurnJob::take_back_where_addresses_wrap() {
  for (std::size_t index = 0; index < state_.results.size(); ++index) {
    if (state_.results[index].real_size) head_step_->take_back(index);
  }
}

void BurnJob::for_each_live(const std::function<void(std::size_t)>& step) {
  for (const std::size_t index : state_.live()) {
    try {
      step(index);
    } catch (const io::Error& error) {
      if (error.kind() == io::ErrorKind::cancelled) throw;
      mender_.fail(index, error);
    }
  }
}

BurnContent BurnJob::rest_content() {
  return {image_.seekable() ? &image_ : nullptr, ledger_, size_};
}

void BurnJob::start_targets() {
  for_each_live([this](std::size_t index) {
    state_.media[index] = state_.places[index]->start(ring_);
    state_.copies[index].target = &state_.media[index]->target();
  });
}

// Keeps the head in memory until its time comes: a stream gives it only once.
void BurnJob::read_head() {
  const std::uint64_t chunk_size = options_.copy.chunk_size;
  const std::uint64_t room = io::align_up(head_size, chunk_size);
  const io::ByteRange range{0, std::min(room, image_.size().value_or(room))};
  io::AlignedMemory memory(room);
  std::size_t count = 0;
  if (!range.empty()) {
    count = io::run_task(ring_, image_.read(range, memory.buffer()), [this] { observer_.tick(); });
  }
  mender_.throw_if_stopped();
  if (options_.refuse_empty && count == 0) {
    throw io::Error::format(image_.name(), 0, "ended before its first byte");
  }
  size_ = image_.size().value_or(count);
  head_.emplace(image_.name(), std::move(memory), count);
  head_step_.emplace(ring_, state_, mender_, count, options_.copy, observer_, stop_);
}

// A stream's partition table could not be looked at before.
void BurnJob::check_tables() {
  if (image_.seekable()) return;
  const PartitionTableFit step(ring_, options_.table);
  for_each_live([&](std::size_t index) { step.check(*head_, false, *state_.places[index]); });
}

// Some of these chunks, spread, and where there are such, chunks that hold data: zeros are on any
// new disk.
std::vector<io::ByteRange> BurnJob::resume_samples(const std::vector<io::ByteRange>& chunks) {
  const std::size_t stride = chunks.size() / most_resume_candidates + 1;
  const io::AlignedMemory memory(options_.copy.chunk_size);
  std::vector<io::ByteRange> with_data, any;
  for (std::size_t i = 0; i < chunks.size(); i += stride) {
    mender_.throw_if_stopped();
    io::run_task(ring_, image_.read(chunks[i], memory.buffer()), [this] { observer_.tick(); });
    const bool zeros = io::is_zero(memory.bytes().first(chunks[i].length));
    (zeros ? any : with_data).push_back(chunks[i]);
  }
  const auto& found = with_data.empty() ? any : with_data;
  std::vector<io::ByteRange> some;
  const std::size_t step = found.size() / most_resume_samples + 1;
  for (std::size_t i = 0; i < found.size(); i += step) some.push_back(found[i]);
  return some;
}

// Another disk may have the name now: most of what the journal calls done must be there.
void BurnJob::check_resumed() {
  const std::uint64_t step = options_.copy.chunk_size;
  for_each_live([&](std::size_t index) {
    if (state_.copies[index].journal == nullptr) return;
    std::vector<io::ByteRange> done;
    for (const auto& entry : state_.copies[index].journal->states()) {
      if (entry.value != io::BlockState::done) continue;
      const std::uint64_t begin = std::max(entry.range.offset, head_->bytes().size());
      for (std::uint64_t at = io::align_up(begin, step); at + step <= entry.range.end();
           at += step) {
        done.push_back({at, step});
      }
    }
    const std::vector<io::ByteRange> some = resume_samples(done);
    if (some.empty()) return;
    const auto bad = mender_.bad_chunks(rest_content(), index, some);
    // A few are damage, which verification finds and mends.
    const bool few = bad.size() * 4 <= some.size() || (bad.size() == 1 && some.size() > 1);
    state_.results[index].bad_ranges.clear();
    if (few) return;
    throw io::Error::refusal(
        state_.places[index]->path(),
        fmt::format("is not the disk that the mapfile belongs to, or was written to since: {} of "
                    "{} places that it calls done differ, the first at offset {}",
                    bad.size(), some.size(), bad.front().offset));
  });
}

void BurnJob::wipe_heads() {
  for (const std::size_t index : state_.live()) head_step_->wipe(index);
}

// Where a table may be written to the disk's end.
void BurnJob::mark_ends() {
  end_marks_.resize(state_.places.size());
  const bool gpt = holds_gpt(head_->bytes());
  if (!mender_.verifies() || options_.table.relocate == RelocateGpt::never) return;
  if (!gpt && !options_.table.grow_last) return;
  for_each_live([this](std::size_t index) {
    const BurnPlace& place = *state_.places[index];
    if (!place.sector_size()) return;  // a file claims no size
    const std::uint64_t end = std::max(size_, head_->bytes().size());
    if (place.capacity() <= end) return;
    end_marks_[index] =
        std::make_unique<EndMark>(ring_, *state_.media[index], place.capacity(), end);
  });
}

void BurnJob::check_ends() {
  for_each_live([this](std::size_t index) {
    const auto& mark = end_marks_[index];
    if (!mark || (!mark->changed(size_) && mark->remove(size_))) return;
    mender_.fail_as_different(
        index,
        "reads back other bytes at its end than were written there: it holds less than it claims, "
        "or its end is broken",
        std::nullopt);
    head_step_->take_back(index);
  });
}

// What any live target still lacks behind the head.
std::vector<io::ByteRange> BurnJob::rest_to_copy() const {
  const std::uint64_t begin = head_->bytes().size();
  const io::ByteRange all =
      io::range_between(begin, image_.size() ? size_ : begin + io::stream_limit);
  std::vector<io::ByteRange> ranges;
  for (const io::CopyTarget& copy : state_.copies) {
    if (!copy.live()) continue;
    if (copy.journal == nullptr) return {all};
    const auto left = copy.journal->untried();
    ranges.insert(ranges.end(), left.begin(), left.end());
  }
  return io::on_grid(std::move(ranges), options_.copy.chunk_size, begin);
}

// A resumed burn copies only a part, a digest needs all of it.
void BurnJob::hash_all() {
  io::read_whole(ring_, image_, options_.copy, observer_, stop_, {.digest = &*content_digest_});
}

void BurnJob::copy_rest() {
  const bool only_head = image_.size() && head_->bytes().size() == size_;
  const auto ranges = only_head ? std::vector<io::ByteRange>{} : rest_to_copy();
  const bool complete =
      only_head || !image_.seekable() || io::total_length(ranges) == size_ - head_->bytes().size();
  if (content_digest_ && complete) {
    io::run_task(ring_, content_digest_->update(0, head_->bytes()));
  } else if (content_digest_) {
    hash_all();
  }
  if (only_head) return;

  io::Copier copier(ring_, image_, state_.copies, options_.copy, observer_, stop_);
  copier.keep_digests(mender_.verifies() ? &ledger_ : nullptr);
  if (complete && content_digest_) copier.hash_content(&*content_digest_);
  copier.run(ranges);
  if (!image_.seekable()) size_ = std::max(size_, copier.stream_end());
  const bool journals = std::any_of(state_.copies.begin(), state_.copies.end(),
                                    [](const auto& copy) { return copy.journal != nullptr; });
  if (stop_.load() == 0 || journals) {
    settle_targets();
    copier.flush();
  }
  mender_.throw_if_stopped();
}

void BurnJob::settle_targets() {
  for_each_live([this](std::size_t index) { state_.media[index]->settle(size_); });
}

void BurnJob::check_digest() {
  if (!content_digest_) return;
  digest_ = content_digest_->hex();
  if (options_.expected_digest.empty() || digest_ == options_.expected_digest) return;
  throw io::Error(io::ErrorKind::mismatch, image_.name(),
                  fmt::format("its digest is {}, not {}; the first MiB was not written, so no "
                              "target looks complete",
                              digest_, options_.expected_digest));
}

void BurnJob::fit_tables() {
  const PartitionTableFit step(ring_, options_.table);
  const auto head = head_->bytes();
  for_each_live([&](std::size_t index) {
    io::CopyTarget& copy = state_.copies[index];
    // A run that resumes compares with the image, so what is changed now is to be copied again.
    const auto note = [&copy](const std::vector<io::Patch>& patches) {
      if (copy.journal == nullptr) return;
      for (const io::Patch& patch : patches) {
        const auto shared = io::intersection(patch.range(), {0, copy.journal->size()});
        if (!shared.empty()) copy.journal->mark_untried(shared);
      }
      copy.save_journal(*copy.journal);
    };
    const auto fit = [&](io::Source& content) {
      return step.run(content, head.size(), *state_.places[index], *state_.media[index], note);
    };
    if (image_.seekable()) {
      state_.results[index].table = fit(image_);
      return;
    }
    const auto rest = mender_.read_back(index, size_);
    io::OverlaySource content(*rest, {{0, {head.begin(), head.end()}}}, size_);
    state_.results[index].table = fit(content);
  });
  mender_.throw_if_stopped();
}

// Targets whose tables became the same get their heads together.
void BurnJob::write_heads() {
  if (head_->bytes().empty()) return;
  for (const std::size_t index : state_.live()) {
    head_step_->check_still_wiped(index, rest_content());
  }
  settle_targets();
  std::vector<std::size_t> left = state_.live();
  while (!left.empty()) {
    const auto patches = state_.results[left.front()].table.head;
    const auto others = std::stable_partition(left.begin(), left.end(), [&](std::size_t index) {
      return state_.results[index].table.head == patches;
    });
    write_patched_head(patches, {left.begin(), others});
    left.erase(left.begin(), others);
  }
  for (const std::size_t index : state_.live()) head_step_->check_aliases(index, rest_content());
}

void BurnJob::write_patched_head(std::vector<io::Patch> patches,
                                 const std::vector<std::size_t>& targets) {
  const io::ByteRange all{0, head_->bytes().size()};
  io::AlignedMemory memory(all.length);
  io::OverlaySource patched(*head_, std::move(patches), all.length);
  io::run_task(ring_, patched.read(all, memory.buffer()));
  io::MemorySource head(head_->name(), std::move(memory), all.length);
  head_step_->write(head, targets);
}

void BurnJob::finish_targets() {
  for_each_live([this](std::size_t index) {
    BurnResult& result = state_.results[index];
    result.past_cache = state_.media[index]->reads_past_cache();
    result.remark = state_.media[index]->finish(size_);
  });
}

void BurnJob::collect_results() {
  for (std::size_t index = 0; index < state_.results.size(); ++index) {
    BurnResult& result = state_.results[index];
    const io::CopyTarget& copy = state_.copies[index];
    result.error = copy.error;
    result.data_bytes = copy.data_bytes;
    result.write_seconds = clock_.seconds(index);
    result.zero_bytes = copy.zero_bytes;
  }
}

}  // namespace imgtool
