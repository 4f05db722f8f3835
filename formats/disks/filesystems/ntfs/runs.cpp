#include "formats/disks/filesystems/ntfs/runs.hpp"

#include <fmt/format.h>

#include "formats/disks/filesystems/doubt.hpp"

namespace formats::filesystems::ntfs {
namespace {

// No list may describe more than this, so that sums do not overflow.
constexpr std::uint64_t most_clusters = std::uint64_t{1} << 60;

[[noreturn]] void broken(std::uint64_t record) {
  throw Doubt(Reason::damaged,
              fmt::format("record {} of its MFT has a broken list of clusters", record),
              remedy_check);
}

// A little-endian number of 0 to 8 bytes.
std::uint64_t number_of(std::span<const std::byte> bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) {
    value = (value << 8) | std::to_integer<std::uint64_t>(bytes[i]);
  }
  return value;
}

// The same with a sign. Added with wrap-around, what it gives is checked afterwards.
std::uint64_t signed_number_of(std::span<const std::byte> bytes) {
  std::uint64_t value = number_of(bytes);
  const bool negative = !bytes.empty() && (bytes.back() & std::byte{0x80}) != std::byte{0};
  if (negative && bytes.size() < 8) value |= ~std::uint64_t{0} << (bytes.size() * 8);
  return value;
}

class Decoder {
 public:
  Decoder(std::span<const std::byte> bytes, const Geometry& geometry)
      : bytes_(bytes), geometry_(geometry) {}

  // False where the list is broken; `run.count` is 0 at its end.
  bool next(Run& run) {
    run = {};
    if (bytes_.empty()) return false;
    const auto head = std::to_integer<unsigned>(bytes_[0]);
    if (head == 0) return true;
    const std::size_t count_bytes = head & 15, distance_bytes = head >> 4;
    if (count_bytes == 0 || count_bytes > 8 || distance_bytes > 8) return false;
    if (bytes_.size() < 1 + count_bytes + distance_bytes) return false;
    run.count = number_of(bytes_.subspan(1, count_bytes));
    if (run.count == 0 || run.count > most_clusters) return false;
    if (distance_bytes > 0) {
      at_ += signed_number_of(bytes_.subspan(1 + count_bytes, distance_bytes));
      if (!geometry_.has(at_, run.count)) return false;
      run.first = at_;
    }
    bytes_ = bytes_.subspan(1 + count_bytes + distance_bytes);
    return true;
  }

 private:
  std::span<const std::byte> bytes_;
  const Geometry& geometry_;
  std::uint64_t at_ = 0;
};

}  // namespace

std::vector<Run> decode_runs(const Attribute& attribute, const Geometry& geometry,
                             std::uint64_t record) {
  std::vector<Run> runs;
  Decoder decoder(attribute.runs, geometry);
  std::uint64_t total = 0;
  for (Run run;;) {
    if (!decoder.next(run)) broken(record);
    if (run.count == 0) break;
    total += run.count;
    if (total > most_clusters) broken(record);
    runs.push_back(run);
  }
  // `highest` is inclusive: -1 where there is no cluster.
  if (attribute.lowest > most_clusters || attribute.highest + 1 - attribute.lowest != total) {
    broken(record);
  }
  return runs;
}

}  // namespace formats::filesystems::ntfs
