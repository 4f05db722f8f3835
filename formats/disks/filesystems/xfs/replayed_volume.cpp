#include "formats/disks/filesystems/xfs/replayed_volume.hpp"

#include <algorithm>

#include "formats/disks/filesystems/doubt.hpp"
#include "formats/disks/filesystems/xfs/log.hpp"

namespace formats::filesystems::xfs {

std::vector<std::byte> ReplayedVolume::read_now(std::uint64_t offset, std::size_t length) {
  std::vector<std::byte> bytes = volume_.read(offset, length);
  overlay(offset, bytes);
  return bytes;
}

void ReplayedVolume::write(std::uint64_t offset, std::span<const std::byte> bytes) {
  constexpr std::size_t most_sectors = std::size_t{1} << 18;
  while (!bytes.empty()) {
    const std::uint64_t number = offset / sector_size;
    const std::size_t inside = offset % sector_size;
    const std::size_t here = std::min(bytes.size(), sector_size - inside);
    auto known = sectors_.find(number);
    if (known == sectors_.end()) {
      if (sectors_.size() == most_sectors) cannot_replay("its log changes too much");
      const auto before = volume_.read(number * sector_size, sector_size);
      known = sectors_.emplace(number, Sector{}).first;
      std::copy(before.begin(), before.end(), known->second.begin());
    }
    std::copy_n(bytes.begin(), here, known->second.begin() + static_cast<std::ptrdiff_t>(inside));
    offset += here;
    bytes = bytes.subspan(here);
  }
}

void ReplayedVolume::touch(io::ByteRange range) {
  constexpr std::size_t most_ranges = std::size_t{1} << 19;
  std::uint64_t& length = touched_[range.offset];
  length = std::max(length, range.length);
  if (touched_.size() > most_ranges) cannot_replay("its log changes too many places");
}

std::vector<io::ByteRange> ReplayedVolume::touched() const {
  std::vector<io::ByteRange> ranges;
  ranges.reserve(touched_.size());
  for (const auto& [offset, length] : touched_) ranges.push_back({offset, length});
  return ranges;
}

io::Task<std::size_t> ReplayedVolume::read(io::ByteRange range, io::Buffer buffer) {
  (void)co_await volume_.source().read(range, buffer);
  const io::ByteRange here =
      io::intersection(range, io::ByteRange{volume_.begin(), volume_.size()});
  if (!here.empty()) {
    overlay(here.offset - volume_.begin(),
            buffer.bytes.subspan(here.offset - range.offset, here.length));
  }
  co_return range.length;
}

void ReplayedVolume::overlay(std::uint64_t offset, std::span<std::byte> bytes) const {
  const io::ByteRange wanted{offset, bytes.size()};
  for (auto at = sectors_.lower_bound(offset / sector_size);
       at != sectors_.end() && at->first * sector_size < wanted.end(); ++at) {
    const io::ByteRange sector{at->first * sector_size, sector_size};
    const io::ByteRange part = io::intersection(sector, wanted);
    std::copy_n(at->second.begin() + static_cast<std::ptrdiff_t>(part.offset - sector.offset),
                part.length, bytes.begin() + static_cast<std::ptrdiff_t>(part.offset - offset));
  }
}

}  // namespace formats::filesystems::xfs
