#include "formats/images/block_owners.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "io/error.hpp"

namespace formats {
namespace {

constexpr std::uint64_t most_clusters = std::uint64_t{1} << 29;
constexpr std::uint64_t bits_in_word = 64;

}  // namespace

void BlockOwners::reserve(io::ByteRange range, std::string_view what) {
  reserved_.push_back({range, what});
}

void BlockOwners::add(std::uint64_t offset, std::uint64_t needed, std::uint64_t index,
                      std::uint64_t entry_at) {
  const auto fail = [&](const std::string& why) {
    throw io::Error::format(path_, entry_at,
                            fmt::format("block {} is said to be at {}, {}", index, offset, why));
  };
  if (offset >= file_size_ || needed > file_size_ - offset) {
    fail(fmt::format("but the file ends at {}: it was cut short", file_size_));
  }
  const io::ByteRange taken{offset, std::min(block_bytes_, file_size_ - offset)};
  for (const Reserved& reserved : reserved_) {
    if (!io::intersection(taken, reserved.range).empty()) {
      fail(fmt::format("where {} is", reserved.what));
    }
  }
  // The last one may be cut short.
  if (offsets_.size() > file_size_ / block_bytes_) {
    fail("and the file has no room for so many blocks");
  }
  offsets_.push_back(offset);
}

void BlockOwners::check() {
  if (!std::is_sorted(offsets_.begin(), offsets_.end())) {
    std::sort(offsets_.begin(), offsets_.end());
  }
  const auto twice =
      std::adjacent_find(offsets_.begin(), offsets_.end(),
                         [this](std::uint64_t a, std::uint64_t b) { return b - a < block_bytes_; });
  if (twice == offsets_.end()) return;
  throw io::Error::format(path_, *(twice + 1),
                          "this place is said to be that of two blocks: the image is damaged");
}

ClusterOwners::ClusterOwners(const std::string& path, std::uint64_t file_size,
                             std::uint64_t cluster_size)
    : cluster_size_(cluster_size) {
  const std::uint64_t clusters = file_size / cluster_size + 1;
  if (clusters > most_clusters) {
    throw io::Error(io::ErrorKind::unsupported, path,
                    fmt::format("has {} clusters; imgtool takes at most {} in this format",
                                clusters, most_clusters));
  }
  taken_.resize(clusters / bits_in_word + 1);
}

bool ClusterOwners::take(io::ByteRange range) {
  bool all_free = true;
  for (std::uint64_t at = range.offset / cluster_size_; at * cluster_size_ < range.end(); ++at) {
    const std::uint64_t bit = std::uint64_t{1} << at % bits_in_word;
    std::uint64_t& word = taken_[at / bits_in_word];
    all_free = all_free && (word & bit) == 0;
    word |= bit;
  }
  return all_free;
}

}  // namespace formats
