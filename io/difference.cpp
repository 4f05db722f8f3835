#include "io/difference.hpp"

#include <cassert>
#include <cstring>

namespace io {
namespace {
constexpr std::uint64_t joined_within = 512;
constexpr std::size_t block = 4096;
}  // namespace

void append_difference(std::vector<ByteRange>& ranges, ByteRange more) {
  if (!ranges.empty() && more.offset - ranges.back().end() < joined_within) {
    ranges.back().length = more.end() - ranges.back().offset;
  } else {
    ranges.push_back(more);
  }
}

std::vector<ByteRange> differences(std::span<const std::byte> a, std::span<const std::byte> b,
                                   std::uint64_t offset) {
  assert(a.size() == b.size());
  std::vector<ByteRange> found;
  for (std::size_t begin = 0; begin < a.size(); begin += block) {
    const std::size_t end = std::min(begin + block, a.size());
    if (std::memcmp(&a[begin], &b[begin], end - begin) == 0) continue;
    for (std::size_t at = begin; at < end; ++at) {
      if (a[at] != b[at]) append_difference(found, {offset + at, 1});
    }
  }
  return found;
}

}  // namespace io
