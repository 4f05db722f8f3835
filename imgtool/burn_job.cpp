#include "imgtool/burn_job.hpp"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "imgtool/human.hpp"
#include "imgtool/job.hpp"
#include "io/error.hpp"
#include "io/spliced_source.hpp"

namespace imgtool {
namespace {

constexpr std::uint64_t head_size = 1 * io::MiB;
constexpr unsigned rewrites = 3;
constexpr std::size_t most_bad_ranges = 1000;

}  // namespace

BurnJob::BurnJob(io::Ring& ring, io::Source& image,
                 std::vector<std::unique_ptr<BurnTarget>>& targets, BurnJobOptions options,
                 io::CopyObserver& observer, const io::StopFlag& stop)
    : ring_(ring),
      image_(image),
      targets_(targets),
      options_(std::move(options)),
      observer_(observer),
      stop_(stop),
      copies_(targets.size()),
      results_(targets.size()),
      ledger_(options_.copy.chunk_size) {
  for (std::size_t index = 0; index < targets.size(); ++index) copies_[index].index = index;
  if (options_.algorithm) {
    worker_.emplace(1);
    content_digest_.emplace(ring_, *worker_, *options_.algorithm);
  }
}

void BurnJob::keep_journal(std::size_t target, io::Journal& journal,
                           std::function<void(io::Journal&)> save) {
  copies_[target].journal = &journal;
  copies_[target].save_journal = std::move(save);
}

void BurnJob::run() {
  try {
    read_head();
    check_tables();
    start_targets();
    wipe_heads();
    if (any_live()) copy_rest();
    if (any_live()) complete();
  } catch (...) {
    collect_results();
    throw;
  }
  collect_results();
}

// All of the image but its head is on the targets that are left.
void BurnJob::complete() {
  std::vector<std::size_t> all(targets_.size());
  std::iota(all.begin(), all.end(), 0);
  const Content content{image_.seekable() ? &image_ : nullptr, ledger_, all};
  verify_and_mend(content, {io::range_between(head_->bytes().size(), size_)});
  if (!any_live()) return;
  check_digest();
  if (options_.check_image) options_.check_image();
  fit_tables();
  write_heads();
  finish_targets();
}

bool BurnJob::any_live() const {
  return std::any_of(copies_.begin(), copies_.end(),
                     [](const io::CopyTarget& copy) { return copy.live(); });
}

void BurnJob::throw_if_stopped() const {
  if (stop_.load() != 0) throw io::Error(io::ErrorKind::cancelled, image_.name(), "stopped");
}

void BurnJob::fail(std::size_t index, const io::Error& error) {
  if (!copies_[index].live()) return;
  copies_[index].error = error;
  observer_.failed(index, error.what());
}

void BurnJob::start_targets() {
  for (std::size_t index = 0; index < targets_.size(); ++index) {
    if (!copies_[index].live()) continue;
    try {
      targets_[index]->start(ring_);
      copies_[index].target = &targets_[index]->target();
    } catch (const io::Error& error) {
      fail(index, error);
    }
  }
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
  throw_if_stopped();
  if (options_.refuse_empty && count == 0) {
    throw io::Error::format(image_.name(), 0, "ended before its first byte");
  }
  size_ = image_.size().value_or(count);
  head_.emplace(image_.name(), std::move(memory), count);
}

// Of a stream nobody could see the table before.
void BurnJob::check_tables() {
  if (image_.seekable()) return;
  const TableStep step(ring_, options_.table);
  for (std::size_t index = 0; index < targets_.size(); ++index) {
    try {
      step.check(*head_, false, *targets_[index]);
    } catch (const io::Error& error) {
      fail(index, error);
    }
  }
}

void BurnJob::wipe_heads() {
  for (std::size_t index = 0; index < targets_.size(); ++index) {
    if (!copies_[index].live()) continue;
    io::Target& target = *copies_[index].target;
    const io::ByteRange head{0, std::min<std::uint64_t>(head_->bytes().size(), target.capacity())};
    try {
      io::run_task(ring_, target.zero(head));
      io::run_task(ring_, target.flush());
    } catch (const io::Error& error) {
      fail(index, error);
    }
  }
}

// What any live target still lacks behind the head.
std::vector<io::ByteRange> BurnJob::rest_to_copy() const {
  const std::uint64_t begin = head_->bytes().size();
  const io::ByteRange all = io::range_between(begin, image_.size() ? size_ : begin + stream_limit);
  std::vector<io::ByteRange> ranges;
  for (const io::CopyTarget& copy : copies_) {
    if (!copy.live()) continue;
    if (copy.journal == nullptr) return {all};
    const auto left = copy.journal->untried();
    ranges.insert(ranges.end(), left.begin(), left.end());
  }
  return io::on_grid(std::move(ranges), options_.copy.chunk_size, begin);
}

void BurnJob::copy_rest() {
  const bool only_head = image_.size() && head_->bytes().size() == size_;
  if (only_head && content_digest_) {
    io::run_task(ring_, content_digest_->update(0, head_->bytes()));
  }
  if (only_head) return;
  const auto ranges = rest_to_copy();
  const bool complete =
      !image_.seekable() || io::total_length(ranges) == size_ - head_->bytes().size();
  if (content_digest_ && !complete) {
    // A resumed burn reads only a part, a digest wants all of it.
    std::vector<io::CopyTarget> nobody;
    io::Copier reader(ring_, image_, nobody, options_.copy, observer_, stop_);
    reader.hash_content(&*content_digest_);
    reader.run({io::ByteRange{0, size_}});
    throw_if_stopped();
  } else if (content_digest_) {
    io::run_task(ring_, content_digest_->update(0, head_->bytes()));
  }

  io::Copier copier(ring_, image_, copies_, options_.copy, observer_, stop_);
  copier.keep_digests(options_.verify == VerifyMode::none ? nullptr : &ledger_);
  if (complete && content_digest_) copier.hash_content(&*content_digest_);
  copier.run(ranges);
  if (!image_.seekable()) size_ = std::max(size_, copier.stream_end());
  const bool journals = std::any_of(copies_.begin(), copies_.end(),
                                    [](const auto& copy) { return copy.journal != nullptr; });
  if (stop_.load() == 0 || journals) flush(copier);
  throw_if_stopped();
}

void BurnJob::flush(io::Copier& copier) {
  settle_targets();
  copier.flush();
}

void BurnJob::settle_targets() {
  for (std::size_t index = 0; index < targets_.size(); ++index) {
    if (!copies_[index].live()) continue;
    try {
      targets_[index]->settle(size_);
    } catch (const io::Error& error) {
      fail(index, error);
    }
  }
}

// What is on a target, as long as the image: where the target is shorter, the image goes on.
std::unique_ptr<io::Source> BurnJob::medium(std::size_t index) {
  const std::uint64_t size = std::min(size_, targets_[index]->capacity());
  auto front = targets_[index]->medium(ring_, size);
  if (size == size_) return front;
  return std::make_unique<io::SplicedSource>(std::move(front), size, image_);
}

void BurnJob::verify_and_mend(const Content& content, const std::vector<io::ByteRange>& ranges) {
  if (options_.verify == VerifyMode::none || ranges.front().empty()) return;
  std::vector<std::unique_ptr<io::Source>> sources;
  std::vector<io::Medium> media;
  for (const std::size_t index : content.targets) {
    if (!copies_[index].live()) continue;
    sources.push_back(medium(index));
    media.push_back({sources.back().get(), index});
  }
  media = find_bad(content, std::move(media), ranges);
  for (const io::Medium& medium : media) {
    auto& result = results_[medium.index];
    result.rewritten_bytes += io::total_length(medium.bad_chunks);
  }
  const bool can_mend = content.source != nullptr;
  for (unsigned round = 0; round < rewrites && can_mend && !media.empty(); ++round) {
    std::vector<io::Medium> still_bad;
    for (io::Medium& medium : media) {
      rewrite(*content.source, medium);
      if (!copies_[medium.index].live()) continue;
      const std::vector<io::ByteRange> again = medium.bad_chunks;
      sources.push_back(this->medium(medium.index));  // nothing of it may be cached
      auto bad = find_bad(content, {{sources.back().get(), medium.index}}, again);
      still_bad.insert(still_bad.end(), bad.begin(), bad.end());
    }
    media = std::move(still_bad);
  }
  for (const io::Medium& medium : media) give_up_on(medium);
}

std::vector<io::Medium> BurnJob::find_bad(const Content& content, std::vector<io::Medium> media,
                                          const std::vector<io::ByteRange>& ranges) {
  io::VerifyOptions options;
  options.lanes = options_.copy.lanes;
  if (options_.verify == VerifyMode::sample) options.sample = sample_one_in;
  io::Verifier verifier(ring_, content.ledger, content.source, options, observer_, stop_);
  verifier.run(media, ranges);
  throw_if_stopped();
  std::erase_if(media, [](const io::Medium& medium) { return medium.bad_chunks.empty(); });
  for (io::Medium& medium : media) {
    results_[medium.index].bad_ranges = verifier.locate(medium, most_bad_ranges);
  }
  throw_if_stopped();
  if (!media.empty() && options.sample) {
    // A sample that shows one bad chunk says nothing good about the chunks it did not look at.
    options_.verify = VerifyMode::full;
    for (io::Medium& medium : media) medium.bad_chunks.clear();
    return find_bad(content, std::move(media), ranges);
  }
  return media;
}

void BurnJob::rewrite(io::Source& image, const io::Medium& medium) {
  std::vector<io::CopyTarget> one = {copies_[medium.index]};
  io::CopyOptions options = options_.copy;
  options.lanes = std::min(options.lanes, 4U);
  io::Copier copier(ring_, image, one, options, observer_, stop_);
  copier.run(medium.bad_chunks);
  copier.flush();
  throw_if_stopped();
  copies_[medium.index] = one.front();
}

void BurnJob::give_up_on(const io::Medium& medium) {
  io::CopyTarget& copy = copies_[medium.index];
  if (copy.journal != nullptr) {
    for (const io::ByteRange& chunk : medium.bad_chunks) copy.journal->mark_untried(chunk);
    copy.save_journal(*copy.journal);
  }
  const auto& ranges = results_[medium.index].bad_ranges;
  std::string text = fmt::format(
      "differs from the image after it was written: {} bytes in {} places, the first at offset {}",
      io::total_length(ranges), ranges.size(), ranges.front().offset);
  if (image_.seekable()) text += fmt::format(", even after {} more tries", rewrites);
  if (medium.read_error) text += fmt::format(" ({})", medium.read_error->what());
  fail(medium.index, io::Error(io::ErrorKind::mismatch, targets_[medium.index]->path(), text));
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
  const TableStep step(ring_, options_.table);
  const auto head = head_->bytes();
  for (std::size_t index = 0; index < targets_.size(); ++index) {
    io::CopyTarget& copy = copies_[index];
    if (!copy.live()) continue;
    // A run that resumes compares with the image, so what is changed now is to be copied again.
    const auto note = [&](const std::vector<io::Patch>& patches) {
      if (copy.journal == nullptr) return;
      for (const io::Patch& patch : patches) {
        const auto shared = io::intersection(patch.range(), {0, copy.journal->size()});
        if (!shared.empty()) copy.journal->mark_untried(shared);
      }
      copy.save_journal(*copy.journal);
    };
    try {
      if (image_.seekable()) {
        results_[index].table = step.run(image_, head.size(), *targets_[index], note);
        continue;
      }
      const auto rest = medium(index);
      io::OverlaySource content(*rest, {{0, {head.begin(), head.end()}}}, size_);
      results_[index].table = step.run(content, head.size(), *targets_[index], note);
    } catch (const io::Error& error) {
      fail(index, error);
    }
  }
  throw_if_stopped();
}

// Targets whose tables became the same get their heads together.
void BurnJob::write_heads() {
  if (head_->bytes().empty()) return;
  std::vector<std::size_t> left;
  for (std::size_t index = 0; index < targets_.size(); ++index) {
    if (copies_[index].live()) left.push_back(index);
  }
  while (!left.empty()) {
    const auto patches = results_[left.front()].table.head;
    const auto others = std::stable_partition(left.begin(), left.end(), [&](std::size_t index) {
      return results_[index].table.head == patches;
    });
    write_head(patches, {left.begin(), others});
    left.erase(left.begin(), others);
  }
}

void BurnJob::write_head(std::vector<io::Patch> patches, const std::vector<std::size_t>& targets) {
  const io::ByteRange all{0, head_->bytes().size()};
  io::AlignedMemory memory(all.length);
  io::OverlaySource patched(*head_, std::move(patches), all.length);
  io::run_task(ring_, patched.read(all, memory.buffer()));
  io::MemorySource head(head_->name(), std::move(memory), all.length);
  io::ChunkLedger ledger(options_.copy.chunk_size);

  settle_targets();
  std::vector<io::CopyTarget> some;
  some.reserve(targets.size());
  for (const std::size_t index : targets) some.push_back(copies_[index]);
  io::CopyOptions options = options_.copy;
  options.lanes = 1;
  options.bytes_per_second = 0;
  io::Copier copier(ring_, head, some, options, observer_, stop_);
  copier.keep_digests(&ledger);
  copier.run({all});
  copier.flush();
  for (std::size_t i = 0; i < some.size(); ++i) copies_[targets[i]] = some[i];
  throw_if_stopped();
  verify_and_mend({&head, ledger, targets}, {all});
}

void BurnJob::finish_targets() {
  for (std::size_t index = 0; index < targets_.size(); ++index) {
    if (!copies_[index].live()) continue;
    try {
      results_[index].remark = targets_[index]->finish(size_);
    } catch (const io::Error& error) {
      fail(index, error);
    }
  }
}

void BurnJob::collect_results() {
  for (std::size_t index = 0; index < targets_.size(); ++index) {
    results_[index].error = copies_[index].error;
    results_[index].data_bytes = copies_[index].data_bytes;
    results_[index].zero_bytes = copies_[index].zero_bytes;
  }
}

}  // namespace imgtool
