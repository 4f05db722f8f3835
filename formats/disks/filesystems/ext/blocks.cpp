#include "formats/disks/filesystems/ext/blocks.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "formats/bytes/big_endian.hpp"
#include "formats/disks/filesystems/doubt.hpp"

namespace formats::filesystems::ext {

std::vector<std::byte> Blocks::read_from_disk(BlockRange range) {
  if (range.count > block_count_ || range.first > block_count_ - range.count) {
    throw Doubt(Reason::damaged,
                fmt::format("it names block {}, which it has not", range.end() - 1),
                "check it (e2fsck -f)");
  }
  return volume_.read(range.first * block_size_, range.count * block_size_);
}

std::vector<std::byte> Blocks::read(BlockRange range) {
  std::vector<std::byte> content = read_from_disk(range);
  for (auto at = replaced_.lower_bound(range.first);
       at != replaced_.end() && at->first < range.end(); ++at) {
    const auto [block, escaped] = at->second;
    std::vector<std::byte> copy = read_from_disk({block, 1});
    constexpr std::uint32_t journal_magic = 0xC03B3998;
    if (escaped) store_big_endian(std::span(copy), 0, journal_magic);
    const auto place = static_cast<std::ptrdiff_t>((at->first - range.first) * block_size_);
    std::copy(copy.begin(), copy.end(), content.begin() + place);
  }
  return content;
}

}  // namespace formats::filesystems::ext
