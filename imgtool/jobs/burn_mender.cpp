#include "imgtool/jobs/burn_mender.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "imgtool/jobs/address_period.hpp"
#include "imgtool/jobs/claimed_capacity.hpp"
#include "imgtool/jobs/job.hpp"
#include "imgtool/terminal/human.hpp"
#include "io/error.hpp"
#include "io/spliced_source.hpp"
#include "io/zero_run.hpp"

namespace imgtool {
namespace {

constexpr unsigned rewrites = 3;
constexpr std::size_t most_bad_ranges = 1000;
constexpr std::size_t most_alias_samples = 64;  // bad chunks that are looked at for a pattern

class TicksOnly final : public io::CopyObserver {
 public:
  explicit TicksOnly(io::CopyObserver& observer) : observer_(observer) {}

  void begin(io::Phase, std::size_t, std::optional<std::uint64_t>) override {}
  void completed(io::Phase, std::size_t, std::uint64_t) override {}
  void end(io::Phase, std::size_t) override {}
  void failed(std::size_t, std::string_view) override {}
  void tick() override { observer_.tick(); }

 private:
  io::CopyObserver& observer_;
};

}  // namespace

BurnMender::BurnMender(io::Ring& ring, BurnState& state, io::Source& image, VerifyMode mode,
                       const io::CopyOptions& copy, io::CopyObserver& observer,
                       const io::StopFlag& stop)
    : ring_(ring),
      state_(state),
      image_(image),
      mode_(mode),
      copy_(copy),
      observer_(observer),
      stop_(stop) {}

void BurnMender::throw_if_stopped() const { io::throw_if_stopped(stop_, image_.name()); }

void BurnMender::fail(std::size_t target, const io::Error& error) {
  if (!state_.copies[target].live()) return;
  state_.copies[target].error = error;
  observer_.failed(target, error.what());
}

void BurnMender::fail_as_different(std::size_t target, std::string text,
                                   std::optional<std::uint64_t> real_size) {
  const BurnPlace& place = *state_.places[target];
  const bool is_disk = place.sector_size().has_value();
  if (is_disk && real_size && *real_size < place.capacity()) {
    state_.results[target].real_size = real_size;
    text += fmt::format("; this disk seems to hold only about {} of the {} that it claims",
                        human_size(*real_size), human_size(place.capacity()));
  }
  fail(target, io::Error(io::ErrorKind::mismatch, place.path(), std::move(text)));
}

std::unique_ptr<io::Source> BurnMender::read_back(std::size_t target, std::uint64_t size) {
  const std::uint64_t there = std::min(size, state_.places[target]->capacity());
  auto front = state_.media[target]->read_back(there);
  if (there == size) return front;
  return std::make_unique<io::SplicedSource>(std::move(front), there, image_);
}

void BurnMender::verify_and_mend(const BurnContent& content,
                                 const std::vector<std::size_t>& targets,
                                 const std::vector<io::ByteRange>& ranges) {
  if (!verifies() || ranges.front().empty()) return;
  const io::ByteRange whole = io::range_between(ranges.front().offset, ranges.back().end());
  auto findings = find_bad(content, targets, ranges, mode_, observer_);
  for (Finding& finding : findings) note_size(content, whole, finding);
  // One bad chunk in a sample says nothing good about the chunks that were not looked at.
  if (!findings.empty()) mode_ = VerifyMode::full;
  for (unsigned round = 0; round < rewrites && content.source != nullptr; ++round) {
    std::vector<Finding> left;
    for (const Finding& finding : findings) {
      if (finding.proven_size) {
        give_up_on(finding, round > 0);
        continue;
      }
      rewrite(*content.source, finding);
      auto again = find_bad(content, {finding.target}, ranges, mode_, observer_);
      for (Finding& still : again) {
        still.proven_size = size_by_content(content, still.target, still.bad);
        still.suspected_size = finding.suspected_size;
        still.repeated_size = finding.repeated_size;
        // On a medium that wraps, mending replaces what is wrong in one place by what is wrong in
        // another: zeros, which tell nothing, and data, in turn. So two looks, one after another.
        if (round + 2 >= rewrites) note_repetition(content, still);
        left.push_back(std::move(still));
      }
    }
    findings = std::move(left);
  }
  for (Finding& finding : findings) {
    if (content.source == nullptr) note_repetition(content, finding);
    give_up_on(finding, content.source != nullptr);
  }
}

std::vector<io::ByteRange> BurnMender::bad_chunks(const BurnContent& content, std::size_t target,
                                                  const std::vector<io::ByteRange>& ranges) {
  TicksOnly observer(observer_);  // a few chunks are no phase of their own
  auto findings = find_bad(content, {target}, ranges, VerifyMode::full, observer);
  return findings.empty() ? std::vector<io::ByteRange>{} : std::move(findings.front().bad);
}

std::vector<BurnMender::Finding> BurnMender::find_bad(const BurnContent& content,
                                                      const std::vector<std::size_t>& targets,
                                                      const std::vector<io::ByteRange>& ranges,
                                                      VerifyMode mode, io::CopyObserver& observer) {
  std::vector<std::unique_ptr<io::Source>> sources;
  std::vector<io::Medium> media;
  for (const std::size_t index : targets) {
    if (!state_.copies[index].live()) continue;
    sources.push_back(read_back(index, content.size));
    media.push_back({sources.back().get(), index});
  }
  io::VerifyOptions options;
  options.lanes = copy_.lanes;
  if (mode == VerifyMode::sample) options.sample = sample_one_in;
  io::Verifier verifier(ring_, content.ledger, content.source, options, observer, stop_);
  verifier.run(media, ranges);
  throw_if_stopped();
  std::erase_if(media, [](const io::Medium& medium) { return medium.bad_chunks.empty(); });
  std::vector<std::size_t> bad;
  for (io::Medium& medium : media) {
    state_.results[medium.index].bad_ranges = verifier.locate(medium, most_bad_ranges);
    bad.push_back(medium.index);
  }
  throw_if_stopped();
  if (!bad.empty() && mode == VerifyMode::sample) {
    return find_bad(content, bad, ranges, VerifyMode::full, observer);
  }
  std::vector<Finding> findings;
  for (io::Medium& medium : media) {
    Finding finding{medium.index};
    finding.bad = std::move(medium.bad_chunks);
    finding.read_error = std::move(medium.read_error);
    findings.push_back(std::move(finding));
  }
  return findings;
}

void BurnMender::note_size(const BurnContent& content, io::ByteRange range, Finding& finding) {
  if (finding.read_error) return;  // a device that is gone, or damaged
  finding.proven_size = size_by_content(content, finding.target, finding.bad);
  finding.suspected_size = size_by_pattern(content.ledger, range, finding.bad);
}

void BurnMender::note_repetition(const BurnContent& content, Finding& finding) {
  if (finding.proven_size || finding.repeated_size || finding.read_error) return;
  finding.repeated_size =
      size_by_repetition(content.size, finding.target, finding.bad, content.source);
}

std::optional<std::uint64_t> BurnMender::size_by_content(const BurnContent& content,
                                                         std::size_t target,
                                                         const std::vector<io::ByteRange>& bad) {
  const io::ChunkLedger& ledger = content.ledger;
  const auto medium = read_back(target, content.size);
  const io::AlignedMemory memory(ledger.chunk_size());
  std::vector<Alias> aliases;
  std::size_t samples = 0;
  const std::size_t step = bad.size() / most_alias_samples + 1;
  for (std::size_t index = 0; index < bad.size(); index += step) {
    const io::ByteRange chunk = bad[index];
    const auto found = memory.bytes().first(chunk.length);
    try {
      io::run_task(ring_, medium->read(chunk, memory.buffer()), [this] { observer_.tick(); });
    } catch (const io::Error&) {
      return std::nullopt;
    }
    throw_if_stopped();
    if (io::is_zero(found)) continue;  // any chunk of zeros reads so
    ++samples;
    const auto other = ledger.last_with(found);
    if (other) aliases.push_back({chunk.offset, *other * ledger.chunk_size()});
  }
  return size_by_aliases(aliases, samples);
}

std::optional<std::uint64_t> BurnMender::size_by_repetition(std::uint64_t content_size,
                                                            std::size_t target,
                                                            const std::vector<io::ByteRange>& bad,
                                                            io::Source* expected) {
  const BurnPlace& place = *state_.places[target];
  if (!place.sector_size()) return std::nullopt;  // a file claims no size
  try {
    const auto source = state_.media[target]->read_back(place.capacity());
    formats::DiskView medium(ring_, *source, &stop_);
    std::optional<formats::DiskView> wanted;
    if (expected != nullptr) wanted.emplace(ring_, *expected, &stop_);
    const WrongPlaces wrong{bad, wanted ? &*wanted : nullptr, content_size};
    return size_by_period(medium, wrong, [this] { observer_.tick(); });
  } catch (const io::Error& error) {
    if (error.kind() == io::ErrorKind::cancelled) throw;
    return std::nullopt;  // it fails already, for a better reason
  }
}

void BurnMender::rewrite(io::Source& source, const Finding& finding) {
  std::vector<io::CopyTarget> one = {state_.copies[finding.target]};
  io::CopyOptions options = copy_;
  options.lanes = std::min(options.lanes, 4U);
  io::Copier copier(ring_, source, one, options, observer_, stop_);
  copier.run(finding.bad);
  copier.flush();
  throw_if_stopped();
  state_.copies[finding.target] = one.front();
  state_.results[finding.target].rewritten_bytes += io::total_length(finding.bad);
}

void BurnMender::give_up_on(const Finding& finding, bool tried) {
  io::CopyTarget& copy = state_.copies[finding.target];
  if (copy.journal != nullptr) {
    for (const io::ByteRange& chunk : finding.bad) copy.journal->mark_untried(chunk);
    copy.save_journal(*copy.journal);
  }
  const auto& ranges = state_.results[finding.target].bad_ranges;
  std::string text = fmt::format(
      "differs from the image after it was written: {} bytes in {} places, the first at offset {}",
      io::total_length(ranges), ranges.size(), ranges.front().offset);
  if (tried) text += fmt::format(", even after {} more tries", rewrites);
  if (finding.read_error) text += fmt::format(" ({})", finding.read_error->what());
  auto size = finding.proven_size;
  if (!size) size = finding.repeated_size;
  if (!size) size = finding.suspected_size;
  fail_as_different(finding.target, std::move(text), size);
}

}  // namespace imgtool
