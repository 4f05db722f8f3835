#include "imgtool/jobs/resume_check.hpp"

#include <algorithm>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "io/buffer_pool.hpp"
#include "io/error.hpp"
#include "io/task_group.hpp"
#include "io/zero_run.hpp"

namespace imgtool {
namespace {

constexpr std::uint64_t compared_bytes = 16 * io::KiB;
constexpr std::uint64_t least_step = 256 * io::KiB;
constexpr std::size_t most_compared = 256;

// Spread over all that is done.
std::vector<io::ByteRange> samples_of(const io::RangeMap<io::BlockState>& states) {
  std::uint64_t done = 0;
  for (const auto& entry : states) {
    if (entry.value == io::BlockState::done) done += entry.range.length;
  }
  const std::uint64_t step =
      std::max(least_step, io::align_down(done / most_compared, compared_bytes));
  std::vector<io::ByteRange> samples;
  std::uint64_t passed = 0;  // of what is done
  for (const auto& entry : states) {
    if (entry.value != io::BlockState::done) continue;
    // The next multiple of `step` among what is done.
    for (std::uint64_t at = io::align_up(passed, step); at < passed + entry.range.length;
         at += step) {
      const std::uint64_t offset =
          io::align_down(entry.range.offset + (at - passed), io::buffer_alignment);
      const std::uint64_t begin = std::max(offset, entry.range.offset);
      samples.push_back(
          io::range_between(begin, std::min(begin + compared_bytes, entry.range.end())));
    }
    passed += entry.range.length;
  }
  return samples;
}

enum class Found : std::uint8_t { same, different, nothing };

Found compare(io::Ring& ring, io::Source& disk, const io::File& kept, io::ByteRange range) {
  const io::AlignedMemory now(compared_bytes);
  std::vector<std::byte> before(range.length);
  try {
    io::run_task(ring, disk.read(range, now.buffer()));
    if (kept.read_at(range.offset, before) != range.length) return Found::different;
  } catch (const io::Error& error) {
    if (error.kind() == io::ErrorKind::cancelled) throw;
    return Found::nothing;
  }
  const auto content = now.bytes().first(range.length);
  if (!std::equal(before.begin(), before.end(), content.begin())) return Found::different;
  return io::is_zero(before) ? Found::nothing : Found::same;
}

}  // namespace

void refuse_other_disk(io::Ring& ring, io::Source& disk, const io::File& kept,
                       const io::RangeMap<io::BlockState>& states, const io::StopFlag& stop) {
  std::size_t compared = 0;
  std::size_t different = 0;
  std::optional<std::uint64_t> first;
  for (const io::ByteRange sample : samples_of(states)) {
    io::throw_if_stopped(stop, disk.name());
    const Found found = compare(ring, disk, kept, sample);
    if (found == Found::nothing) continue;
    ++compared;
    if (found == Found::same) continue;
    ++different;
    if (!first) first = sample.offset;
  }
  const bool few = different * 4 <= compared || (different == 1 && compared > 1);
  if (few) return;
  throw io::Error::refusal(
      disk.name(),
      fmt::format("is not the disk that the mapfile belongs to, or was written to since: {} of {} "
                  "places that it calls done differ, the first at offset {}",
                  different, compared, *first));
}

}  // namespace imgtool
