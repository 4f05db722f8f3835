#include "formats/images/block_owners.hpp"

#include <algorithm>
#include <bit>

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
    report(check_,
           io::Error::format(path_, entry_at,
                             fmt::format("block {} is said to be at {}, {}", index, offset, why)));
  };
  if (offset >= file_size_ || needed > file_size_ - offset) {
    fail(fmt::format("but the file ends at {}: it was cut short", file_size_));
    return;
  }
  const io::ByteRange taken{offset, std::min(block_bytes_, file_size_ - offset)};
  for (const Reserved& reserved : reserved_) {
    if (!io::intersection(taken, reserved.range).empty()) {
      fail(fmt::format("where {} is", reserved.what));
      return;
    }
  }
  // The last one may be cut short.
  if (offsets_.size() > file_size_ / block_bytes_) {
    fail("and the file has no room for so many blocks");
    return;
  }
  offsets_.push_back(offset);
}

void BlockOwners::check() {
  if (!std::is_sorted(offsets_.begin(), offsets_.end())) {
    std::sort(offsets_.begin(), offsets_.end());
  }
  const auto overlap = [this](std::uint64_t a, std::uint64_t b) { return b - a < block_bytes_; };
  for (auto from = offsets_.begin();;) {
    const auto twice = std::adjacent_find(from, offsets_.end(), overlap);
    if (twice == offsets_.end()) return;
    report(check_,
           io::Error::format(path_, *(twice + 1),
                             "this place is said to be that of two blocks: the image is damaged"));
    from = twice + 1;
  }
}

void BlockOwners::count_leaks() {
  std::vector<io::ByteRange> owned;
  owned.reserve(reserved_.size() + offsets_.size());
  for (const Reserved& reserved : reserved_) owned.push_back(reserved.range);
  for (const std::uint64_t offset : offsets_) owned.push_back({offset, block_bytes_});
  std::sort(owned.begin(), owned.end(),
            [](const auto& a, const auto& b) { return a.offset < b.offset; });
  BlockCheckResult& result = check_->result();
  std::uint64_t end = 0;
  const auto count_gap = [&](std::uint64_t begin, std::uint64_t next) {
    if (next > begin) result.leaked_blocks += (next - begin) / block_bytes_;
  };
  for (const io::ByteRange& range : owned) {
    count_gap(end, range.offset);
    end = std::max(end, range.end());
  }
  count_gap(end, file_size_);
  result.leaked_bytes = result.leaked_blocks * block_bytes_;
  result.allocated_blocks = offsets_.size();
  result.image_end = std::min(end, file_size_);
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

std::uint64_t ClusterOwners::count_free(std::uint64_t file_size) const {
  std::uint64_t taken = 0;
  for (const std::uint64_t word : taken_) taken += static_cast<unsigned>(std::popcount(word));
  const std::uint64_t whole = file_size / cluster_size_;
  // The last one may be cut short, and taken.
  const bool part_is_taken = end() > whole * cluster_size_;
  return whole - (taken - (part_is_taken ? 1 : 0));
}

std::uint64_t ClusterOwners::end() const {
  for (std::size_t i = taken_.size(); i-- > 0;) {
    if (taken_[i] == 0) continue;
    const auto above = static_cast<unsigned>(std::countl_zero(taken_[i]));
    return ((i + 1) * bits_in_word - above) * cluster_size_;
  }
  return 0;
}

}  // namespace formats
