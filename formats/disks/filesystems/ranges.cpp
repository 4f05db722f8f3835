#include "formats/disks/filesystems/ranges.hpp"

namespace formats::filesystems {

std::vector<io::ByteRange> without(std::vector<io::ByteRange> ascending,
                                   std::vector<io::ByteRange> taken) {
  if (taken.empty()) return ascending;
  std::sort(taken.begin(), taken.end(),
            [](io::ByteRange a, io::ByteRange b) { return a.offset < b.offset; });
  std::vector<io::ByteRange> left;
  left.reserve(ascending.size() + taken.size());
  auto next = taken.begin();
  std::uint64_t taken_up_to = 0;
  for (const io::ByteRange range : ascending) {
    std::uint64_t from = std::max(range.offset, taken_up_to);
    for (; next != taken.end() && next->offset < range.end(); ++next) {
      if (next->offset > from) left.push_back(io::range_between(from, next->offset));
      taken_up_to = std::max(taken_up_to, next->end());
      from = std::max(from, next->end());
    }
    if (from < range.end()) left.push_back(io::range_between(from, range.end()));
  }
  return left;
}

}  // namespace formats::filesystems
