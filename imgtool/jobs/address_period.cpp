#include "imgtool/jobs/address_period.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <set>
#include <span>
#include <unordered_map>

namespace imgtool {
namespace {

constexpr std::uint64_t sector = 512;
constexpr std::uint64_t piece = io::MiB;
constexpr std::size_t most_wrong_sectors = 64;
constexpr std::uint64_t probes = 64;  // of each kind that a period has to pass
constexpr std::size_t probe_size = 4096;

using Sector = std::array<std::byte, sector>;

// A sector that is wrong, and where the same bytes are found next.
struct Sample {
  std::uint64_t offset = 0;
  Sector content{};
  std::optional<std::uint64_t> next{};
};

// Some content is everywhere, and tells nothing: zeros, what erased flash reads as.
bool is_one_byte(std::span<const std::byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(),
                     [&](std::byte byte) { return byte == bytes.front(); });
}

std::uint64_t key_of(std::span<const std::byte> bytes) {
  std::uint64_t key = 0;
  std::memcpy(&key, bytes.data(), sizeof key);
  return key;
}

class PeriodSearch {
 public:
  PeriodSearch(formats::DiskView& medium, const WrongPlaces& wrong,
               const std::function<void()>& tick)
      : medium_(medium), wrong_(wrong), tick_(tick) {}

  std::optional<std::uint64_t> run() {
    take_samples();
    if (samples_.empty()) return std::nullopt;
    find_them_again();
    std::set<std::uint64_t> distances;
    for (const Sample& sample : samples_) {
      if (sample.next) distances.insert(*sample.next - sample.offset);
    }
    for (const std::uint64_t distance : distances) {
      if (is_period(distance)) return distance;
    }
    return std::nullopt;
  }

 private:
  void take_samples() {
    const std::size_t step = wrong_.ranges.size() / most_wrong_sectors + 1;
    for (std::size_t index = 0; index < wrong_.ranges.size(); index += step) {
      take_sample(wrong_.ranges[index]);
      tick_();
    }
  }

  // The first sector in it that is wrong, and tells something.
  void take_sample(io::ByteRange range) {
    range.length = std::min(range.length, piece);
    if (!medium_.holds(range.offset, range.length)) return;
    const auto found = medium_.read(range.offset, range.length);
    std::vector<std::byte> wanted;
    if (wrong_.expected != nullptr && wrong_.expected->holds(range.offset, range.length)) {
      wanted = wrong_.expected->read(range.offset, range.length);
    }
    for (std::size_t at = 0; at + sector <= found.size(); at += sector) {
      const auto bytes = std::span(found).subspan(at, sector);
      if (is_one_byte(bytes)) continue;
      if (!wanted.empty() && std::ranges::equal(bytes, std::span(wanted).subspan(at, sector))) {
        continue;
      }
      Sample sample{.offset = range.offset + at};
      std::copy(bytes.begin(), bytes.end(), sample.content.begin());
      samples_.push_back(sample);
      return;
    }
  }

  void find_them_again() {
    std::unordered_map<std::uint64_t, std::vector<Sample*>> by_key;
    for (Sample& sample : samples_) by_key[key_of(sample.content)].push_back(&sample);
    std::size_t missing = samples_.size();
    const std::uint64_t end = std::min(wrong_.written, medium_.size());
    for (std::uint64_t at = samples_.front().offset; at < end && missing > 0; at += piece) {
      const auto bytes = medium_.read(at, std::min(piece, end - at));
      for (std::size_t i = 0; i + sector <= bytes.size(); i += sector) {
        const auto here = std::span(bytes).subspan(i, sector);
        const auto found = by_key.find(key_of(here));
        if (found == by_key.end()) continue;
        for (Sample* sample : found->second) {
          if (sample->next || at + i <= sample->offset) continue;
          if (!std::ranges::equal(here, sample->content)) continue;
          sample->next = at + i;
          --missing;
        }
      }
      tick_();
    }
  }

  // Whether the medium reads the same at many places and `distance` further on.
  bool is_period(std::uint64_t distance) {
    if (distance >= medium_.size()) return false;
    const std::uint64_t end = medium_.size() - distance;
    const std::uint64_t written = std::min(wrong_.written, end);
    for (const Sample& sample : samples_) {
      if (!is_same(sample.offset, distance)) return false;
    }
    for (std::uint64_t n = 0; n < probes; ++n) {
      if (!is_same(n * io::MiB, distance) || !is_same(end / probes * n, distance) ||
          !is_same(written / probes * n, distance)) {
        return false;
      }
      tick_();
    }
    return true;
  }

  bool is_same(std::uint64_t offset, std::uint64_t distance) {
    offset = io::align_down(offset, sector);
    if (!medium_.holds(offset + distance, probe_size)) return true;
    return medium_.read(offset, probe_size) == medium_.read(offset + distance, probe_size);
  }

  formats::DiskView& medium_;
  const WrongPlaces& wrong_;
  const std::function<void()>& tick_;
  std::vector<Sample> samples_;
};

}  // namespace

std::optional<std::uint64_t> size_by_period(formats::DiskView& medium, const WrongPlaces& wrong,
                                            const std::function<void()>& tick) {
  return PeriodSearch(medium, wrong, tick).run();
}

}  // namespace imgtool
