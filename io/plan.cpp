#include "io/plan.hpp"

#include <algorithm>
#include <cassert>

namespace io {
namespace {

// Long enough to cost nothing per byte, short enough that progress moves and Ctrl-C is quick
// on a device that emulates zeroing by writing.
constexpr std::uint64_t longest_zeros = 64 * MiB;

ExtentKind simplified(ExtentKind kind) {
  return kind == ExtentKind::zero ? ExtentKind::hole : kind;
}

}  // namespace

Plan::Plan(Source& source, std::uint64_t chunk_size, std::vector<ByteRange> ranges)
    : source_(source), chunk_size_(chunk_size), ranges_(std::move(ranges)) {
  std::erase_if(ranges_, [](const ByteRange& range) { return range.empty(); });
  for (const ByteRange& range : ranges_) assert(range.offset % chunk_size_ == 0);
  if (!ranges_.empty()) position_ = ranges_.front().offset;
}

ExtentKind kind_of(Source& source, ByteRange chunk) {
  std::optional<ExtentKind> kind;
  for (std::uint64_t at = chunk.offset; at < chunk.end();) {
    const Extent extent = source.extent_at(at);
    const ExtentKind here = simplified(extent.kind);
    if (here == ExtentKind::data || (kind && *kind != here)) return ExtentKind::data;
    kind = here;
    at = extent.range.end();
  }
  return kind.value_or(ExtentKind::data);
}

std::optional<Extent> Plan::next() {
  while (current_ < ranges_.size() && position_ >= std::min(end_, ranges_[current_].end())) {
    ++current_;
    if (current_ < ranges_.size()) position_ = ranges_[current_].offset;
  }
  if (current_ >= ranges_.size()) return std::nullopt;
  const std::uint64_t limit = std::min(end_, ranges_[current_].end());
  Extent given{range_between(position_, std::min(position_ + chunk_size_, limit)),
               ExtentKind::data};
  given.kind = kind_of(source_, given.range);
  while (given.kind != ExtentKind::data && given.range.end() < limit &&
         given.range.length < longest_zeros) {
    const ByteRange more =
        range_between(given.range.end(), std::min(given.range.end() + chunk_size_, limit));
    if (kind_of(source_, more) != given.kind) break;
    given.range.length += more.length;
  }
  position_ = given.range.end();
  return given;
}

std::vector<ByteRange> Plan::rest() const {
  std::vector<ByteRange> left;
  for (std::size_t index = current_; index < ranges_.size(); ++index) {
    const std::uint64_t begin = index == current_ ? position_ : ranges_[index].offset;
    const ByteRange range = range_between(begin, std::min(end_, ranges_[index].end()));
    if (!range.empty()) left.push_back(range);
  }
  return left;
}

std::vector<ByteRange> on_grid(std::vector<ByteRange> ranges, std::uint64_t chunk_size,
                               std::uint64_t begin) {
  std::sort(ranges.begin(), ranges.end(),
            [](const ByteRange& a, const ByteRange& b) { return a.offset < b.offset; });
  std::vector<ByteRange> result;
  for (const ByteRange& range : ranges) {
    const std::uint64_t from = std::max(begin, align_down(range.offset, chunk_size));
    if (!result.empty() && from <= result.back().end()) {
      const std::uint64_t end = std::max(result.back().end(), range.end());
      result.back() = range_between(result.back().offset, end);
    } else if (range.end() > from) {
      result.push_back(range_between(from, range.end()));
    }
  }
  return result;
}

std::uint64_t total_length(const std::vector<ByteRange>& ranges) {
  std::uint64_t total = 0;
  for (const ByteRange& range : ranges) total += range.length;
  return total;
}

}  // namespace io
