#include "formats/disks/filesystems/btrfs/file_extent.hpp"

#include <fmt/format.h>

#include "formats/disks/filesystems/btrfs/words.hpp"
#include "formats/disks/filesystems/doubt.hpp"

namespace formats::filesystems::btrfs {

std::optional<io::ByteRange> parse_file_extent(std::uint64_t tree, const Key& key,
                                               std::span<const std::byte> item,
                                               std::uint32_t sector_size) {
  constexpr std::size_t at_kind = 20;
  constexpr std::size_t at_address = 21;
  constexpr std::size_t at_length = 29;  // on the disk
  constexpr std::size_t size = 53;
  constexpr std::byte in_line{0};
  if (item.size() > at_kind && item[at_kind] == in_line) return std::nullopt;
  if (item.size() == size) {
    const io::ByteRange range{u64(item, at_address), u64(item, at_length)};
    if (range.offset == 0) return std::nullopt;  // a hole
    const std::uint64_t in_sector = sector_size - 1;
    if (!range.empty() && ((range.offset | range.length) & in_sector) == 0 &&
        range.length <= ~range.offset) {
      return range;
    }
  }
  throw Doubt(Reason::damaged,
              fmt::format("inode {} of its tree {} has a damaged extent", key.object, tree),
              std::string(repair));
}

}  // namespace formats::filesystems::btrfs
