#include "io/copier.hpp"

#include <algorithm>
#include <cassert>

#include "io/zero_run.hpp"

namespace io {
namespace {

constexpr unsigned own_pass_lanes = 4;
constexpr std::chrono::seconds checkpoint_interval{5};

}  // namespace

Copier::Copier(Ring& ring, Source& source, std::vector<CopyTarget>& targets,
               const CopyOptions& options, CopyObserver& observer, const StopFlag& stop)
    : ring_(ring),
      source_(source),
      targets_(targets),
      options_(options),
      observer_(observer),
      stop_(stop),
      rate_(options.bytes_per_second),
      buffers_(ring, options.lanes, options.chunk_size),
      tasks_(ring),
      stragglers_(targets.size(), options.lanes, Ring::Clock::now()),
      last_checkpoint_(Ring::Clock::now()) {}

bool Copier::must_stop() const { return abandoned_ || stop_.load() != 0; }

void Copier::run(std::vector<ByteRange> ranges) {
  const std::optional<std::uint64_t> total =
      source_.size() ? std::optional(total_length(ranges)) : std::nullopt;
  std::vector<std::size_t> members;
  for (std::size_t index = 0; index < targets_.size(); ++index) {
    if (targets_[index].live()) members.push_back(index);
  }
  const Phase phase = targets_.empty() ? Phase::read : Phase::write;
  if (!targets_.empty() && members.empty()) return;
  for (const std::size_t member : members) observer_.begin(phase, targets_[member].index, total);
  if (targets_.empty()) observer_.begin(phase, 0, total);

  passes_.push_back(std::make_unique<Pass>(
      Pass{Plan(source_, options_.chunk_size, std::move(ranges)), members, phase,
           std::make_unique<DepthControl>(ring_, buffers_.count(),
                                          options_.adapt_depth && !targets_.empty())}));
  for (unsigned lane = 0; lane < buffers_.count(); ++lane) {
    tasks_.spawn(copy_lane(*passes_.back(), lane, buffers_.at(lane)));
  }
  tasks_.run([this] { tick(); });
  passes_.clear();
  own_pass_buffers_.clear();

  if (must_stop()) return;  // then no phase came to its end
  for (const std::size_t member : members) {
    if (targets_[member].live()) observer_.end(phase, targets_[member].index);
  }
  if (targets_.empty()) observer_.end(phase, 0);
}

Task<> Copier::copy_lane(Pass& pass, unsigned lane, Buffer buffer) {
  try {
    while (true) {
      co_await pass.depth->admission(lane);
      auto chunk = next_chunk(pass);
      if (!chunk) break;
      if (chunk->extent.kind == ExtentKind::data) {
        co_await read_chunk(pass, *chunk, buffer);
        if (chunk->extent.range.empty()) continue;
      }
      co_await note_content(pass, *chunk);
      const auto begin = Ring::Clock::now();
      co_await write_chunk(pass, *chunk);
      if (chunk->extent.kind == ExtentKind::data) pass.depth->completed(Ring::Clock::now() - begin);
      if (chunk->extent.kind != ExtentKind::data) co_await ring_.yield();
    }
  } catch (...) {
    abandoned_ = true;
    pass.depth->finish();
    if (content_digest_ != nullptr) content_digest_->abandon();
    abandon_targets();
    throw;
  }
  pass.depth->finish();
  // Chunks that were not handed out never reach the digest.
  if (must_stop() && content_digest_ != nullptr) content_digest_->abandon();
}

std::optional<Copier::Chunk> Copier::next_chunk(Pass& pass) {
  if (must_stop()) return std::nullopt;
  // The first pass goes on for the digests even when its targets are gone; another has no use.
  const bool own_pass = &pass != passes_.front().get();
  if (own_pass && !targets_[pass.members.front()].live()) return std::nullopt;
  const auto extent = pass.plan.next();
  if (!extent) return std::nullopt;
  return Chunk{*extent, pass.members};
}

Task<> Copier::read_chunk(Pass& pass, Chunk& chunk, Buffer buffer) {
  ByteRange& range = chunk.extent.range;
  co_await rate_.pace(ring_, range.length, stop_);
  const std::size_t count = co_await source_.read(range, buffer);
  range.length = count;  // less only where a stream ends; nothing behind it
  if (count > 0 && !source_.seekable()) stream_end_ = std::max(stream_end_, range.end());
  if (source_.size()) pass.plan.stop_at(*source_.size());
  chunk.content = buffer.first(count);
}

// What is kept of the content beside the targets: digests. Only the first pass sees it all.
Task<> Copier::note_content(Pass& pass, const Chunk& chunk) {
  if (&pass != passes_.front().get()) co_return;
  const ByteRange range = chunk.extent.range;
  const bool data = chunk.extent.kind == ExtentKind::data;
  if (ledger_ != nullptr && data) {
    ledger_->record(ledger_->index_of(range.offset), chunk.content.bytes);
  } else if (ledger_ != nullptr && chunk.extent.reads_as_zero()) {
    ledger_->record_zeros(range);
  }
  if (content_digest_ == nullptr) co_return;
  if (data) {
    co_await content_digest_->update(range.offset, chunk.content.bytes);
  } else {
    co_await content_digest_->update_zeros(range);
  }
}

Task<> Copier::write_chunk(Pass& pass, const Chunk& chunk) {
  if (targets_.empty()) {
    observer_.completed(pass.phase, 0, chunk.extent.range.length);
    co_return;
  }
  std::vector<Ring::Clock::time_point> finished(targets_.size());
  if (chunk.members.size() == 1) {
    co_await write_to(chunk.members.front(), chunk, finished[chunk.members.front()]);
    co_return;
  }
  TaskGroup writes(ring_);
  for (const std::size_t index : chunk.members) {
    writes.spawn(write_to(index, chunk, finished[index]));
  }
  co_await writes.join();
  if (&pass == passes_.front().get()) note_lag(chunk.members, finished);
}

Task<> Copier::write_to(std::size_t index, const Chunk& chunk, Ring::Clock::time_point& finished) {
  CopyTarget& copy = targets_[index];
  const ByteRange range = chunk.extent.range;
  if (!copy.live()) co_return;
  try {
    if (range.end() > copy.target->capacity()) {
      throw Error::system("write", copy.target->name(), ENOSPC, range);
    }
    if (chunk.extent.kind == ExtentKind::data) {
      co_await write_runs(copy, chunk);
    } else if (chunk.extent.reads_as_zero()) {
      co_await write_zeros(copy, range);
    }
    if (copy.journal != nullptr) copy.journal->completed(range);
    observer_.completed(Phase::write, copy.index, range.length);
  } catch (const Error& error) {
    fail(index, error);
  }
  finished = Ring::Clock::now();
}

Task<> Copier::write_runs(CopyTarget& copy, const Chunk& chunk) {
  const Buffer content = chunk.content;
  const std::uint64_t begin = chunk.extent.range.offset;
  for (const Run run : zero_runs(content.bytes, copy.target->zero_grain())) {
    if (run.zero) {
      const ByteRange zeros{begin + run.offset, run.length};
      co_await write_zeros(copy, zeros);
    } else {
      co_await copy.target->write(begin + run.offset, content.subspan(run.offset, run.length));
      copy.data_bytes += run.length;
    }
  }
}

Task<> Copier::write_zeros(CopyTarget& copy, ByteRange range) {
  co_await copy.target->zero(range);
  copy.zero_bytes += range.length;
}

void Copier::note_lag(const std::vector<std::size_t>& members,
                      const std::vector<Ring::Clock::time_point>& finished) {
  if (!source_.seekable()) return;  // its chunks come once, so all must keep pace
  std::size_t last = members.front();
  for (const std::size_t index : members) {
    if (finished[index] > finished[last]) last = index;
  }
  Ring::Clock::time_point second{};
  for (const std::size_t index : members) {
    if (index != last) second = std::max(second, finished[index]);
  }
  if (second != Ring::Clock::time_point{}) stragglers_.waited_for(last, finished[last] - second);
  if (const auto straggler = stragglers_.straggler(Ring::Clock::now()))
    move_to_own_pass(*straggler);
}

// From the next chunk on the target is written by lanes of its own, which read the source again.
void Copier::move_to_own_pass(std::size_t index) {
  Pass& shared = *passes_.front();
  const auto place = std::find(shared.members.begin(), shared.members.end(), index);
  if (place == shared.members.end() || shared.members.size() < 2) return;
  shared.members.erase(place);
  passes_.push_back(
      std::make_unique<Pass>(Pass{Plan(source_, options_.chunk_size, shared.plan.rest()),
                                  {index},
                                  Phase::write,
                                  std::make_unique<DepthControl>(ring_, own_pass_lanes, false)}));
  for (unsigned lane = 0; lane < own_pass_lanes; ++lane) {
    own_pass_buffers_.emplace_back(options_.chunk_size);
    tasks_.spawn(copy_lane(*passes_.back(), lane, own_pass_buffers_.back().buffer()));
  }
}

void Copier::fail(std::size_t index, const Error& error) {
  if (!targets_[index].live()) return;
  // What gives up because the job was stopped did not fail.
  if (stop_.load() != 0 && error.kind() == ErrorKind::cancelled) return;
  targets_[index].error = error;
  observer_.failed(targets_[index].index, error.what());
  const bool any_left = std::any_of(targets_.begin(), targets_.end(),
                                    [](const CopyTarget& copy) { return copy.live(); });
  if (!any_left) abandoned_ = true;
}

void Copier::abandon_targets() {
  for (const CopyTarget& copy : targets_) {
    if (copy.target != nullptr) copy.target->abandon();  // else it failed before it was made
  }
}

void Copier::tick() {
  observer_.tick();
  if (stop_.load() != 0) {  // do not wait for what is still to be compressed
    abandon_targets();
  }
  const auto now = Ring::Clock::now();
  if (checkpoints_running_ > 0 || now - last_checkpoint_ < checkpoint_interval) return;
  last_checkpoint_ = now;
  for (std::size_t index = 0; index < targets_.size(); ++index) {
    if (targets_[index].live() && targets_[index].journal != nullptr) {
      tasks_.spawn(checkpoint(index));
    }
  }
}

Task<> Copier::checkpoint(std::size_t index) {
  CopyTarget& copy = targets_[index];
  ++checkpoints_running_;
  copy.journal->checkpoint_begin();
  try {
    co_await copy.target->flush();
    copy.journal->checkpoint_commit();
  } catch (const Error& error) {
    copy.journal->checkpoint_abort();
    fail(index, error);
  }
  copy.save_journal(*copy.journal);
  --checkpoints_running_;
}

void Copier::flush() {
  for (std::size_t index = 0; index < targets_.size(); ++index) {
    if (targets_[index].live()) tasks_.spawn(flush_target(index));
  }
  tasks_.run([this] { observer_.tick(); });
}

Task<> Copier::flush_target(std::size_t index) {
  CopyTarget& copy = targets_[index];
  observer_.begin(Phase::flush, copy.index, std::nullopt);
  if (copy.journal != nullptr) {
    co_await checkpoint(index);
  } else {
    try {
      co_await copy.target->flush();
    } catch (const Error& error) {
      fail(index, error);
    }
  }
  if (copy.live()) observer_.end(Phase::flush, copy.index);
}

std::uint64_t copy_whole(Ring& ring, Source& source, std::vector<CopyTarget>& targets,
                         const CopyOptions& options, CopyObserver& observer, const StopFlag& stop,
                         ContentUsers users) {
  Copier copier(ring, source, targets, options, observer, stop);
  copier.hash_content(users.digest);
  copier.keep_digests(users.ledger);
  copier.run({ByteRange{0, source.size().value_or(stream_limit)}});
  throw_if_stopped(stop, source.name());
  for (const CopyTarget& target : targets) {
    if (target.error) throw Error(*target.error);
  }
  return source.seekable() ? source.size().value_or(0) : copier.stream_end();
}

std::uint64_t read_whole(Ring& ring, Source& source, const CopyOptions& options,
                         CopyObserver& observer, const StopFlag& stop, ContentUsers users) {
  std::vector<CopyTarget> none;
  return copy_whole(ring, source, none, options, observer, stop, users);
}

}  // namespace io
