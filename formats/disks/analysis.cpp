#include "formats/disks/analysis.hpp"

#include <algorithm>

#include "io/buffer_pool.hpp"
#include "io/task_group.hpp"
#include "io/zero_run.hpp"

namespace formats {
namespace {

constexpr std::uint64_t chunk_size = 1 * io::MiB;
constexpr unsigned lanes = 16;
constexpr std::size_t zero_grain = 4096;

Tally tally(const StorageMap& map, const std::vector<io::ByteRange>& ranges) {
  Tally sum;
  for (const io::ByteRange& range : ranges) {
    sum.size += range.length;
    if (range.empty()) continue;
    for (auto it = map.find(range.offset); it != map.end(); ++it) {
      const auto entry = *it;
      if (entry.range.offset >= range.end()) break;
      const std::uint64_t length = io::intersection(entry.range, range).length;
      if (entry.value == io::ExtentKind::data) sum.data += length;
      if (entry.value == io::ExtentKind::zero) sum.zeros += length;
    }
  }
  return sum;
}

// What of [0, size) is in no partition.
std::vector<io::ByteRange> outside(const partitions::Layout& layout, std::uint64_t size) {
  io::RangeMap<bool> owned(size, layout.kind == partitions::TableKind::none);
  for (const partitions::Partition& partition : layout.partitions) {
    const std::uint64_t begin = std::min(partition.range.offset, size);
    owned.set(io::range_between(begin, std::min(partition.range.end(), size)), true);
  }
  std::vector<io::ByteRange> ranges;
  for (const auto& entry : owned) {
    if (!entry.value) ranges.push_back(entry.range);
  }
  return ranges;
}

VolumeAnalysis look_at(const Volume& volume, const StorageMap& map) {
  const std::uint64_t mapped = volume.range.length - volume.unmapped;
  VolumeAnalysis found{volume, mapped, tally(map, volume.free), std::nullopt};
  found.used -= std::min(found.used, found.free.size);
  const bool in_one_piece = volume.id.in_one_piece() && volume.range.end() <= map.size();
  if (in_one_piece) found.all = tally(map, {volume.range});
  return found;
}

// Lanes that take one piece of stored data after the other.
class ZeroSearch {
 public:
  ZeroSearch(io::Source& image, StorageMap& map, const std::function<void(std::uint64_t)>& read,
             const io::StopFlag& stop)
      : image_(image), map_(map), read_(read), stop_(stop) {
    for (const auto& entry : map) {
      if (entry.value == io::ExtentKind::data) data_.push_back(entry.range);
    }
  }

  io::Task<> lane(io::Buffer buffer) {
    try {
      while (const auto range = next()) {
        (void)co_await image_.read(*range, buffer);
        note(*range, buffer.bytes.first(range->length));
      }
    } catch (...) {
      current_ = data_.size();  // no lane goes on after an error
      throw;
    }
  }

 private:
  std::optional<io::ByteRange> next() {
    if (stop_.load() != 0 || current_ >= data_.size()) return std::nullopt;
    io::ByteRange& rest = data_[current_];
    const std::uint64_t end =
        std::min(rest.end(), io::align_down(rest.offset, chunk_size) + chunk_size);
    const io::ByteRange range = io::range_between(rest.offset, end);
    rest = io::range_between(end, rest.end());
    if (rest.empty()) ++current_;
    return range;
  }

  void note(io::ByteRange range, std::span<const std::byte> bytes) {
    for (const io::Run& run : io::zero_runs(bytes, zero_grain)) {
      if (run.zero) map_.set({range.offset + run.offset, run.length}, io::ExtentKind::zero);
    }
    read_(range.length);
  }

  io::Source& image_;
  StorageMap& map_;
  const std::function<void(std::uint64_t)>& read_;
  const io::StopFlag& stop_;
  std::vector<io::ByteRange> data_;  // what is still to be read, from current_ on
  std::size_t current_ = 0;
};

}  // namespace

StorageMap stored_map(io::Source& image) {
  StorageMap map;
  const std::uint64_t size = image.size().value_or(0);
  while (map.size() < size) {
    const io::Extent extent = image.extent_at(map.size());
    map.append(extent.range.end() - map.size(), extent.kind);
  }
  return map;
}

void find_stored_zeros(io::Ring& ring, io::Source& image, StorageMap& map,
                       const std::function<void(std::uint64_t)>& read, const io::StopFlag& stop) {
  ZeroSearch search(image, map, read, stop);
  const io::BufferPool buffers(ring, lanes, chunk_size);
  io::TaskGroup tasks(ring);
  for (unsigned index = 0; index < lanes; ++index) tasks.spawn(search.lane(buffers.at(index)));
  tasks.run();
}

DiskAnalysis analyze(DiskView& disk, const StorageMap& map, const FreeSpaceOptions& options) {
  DiskAnalysis analysis;
  FreeSpace space = find_free_space(disk, options);
  analysis.layout = std::move(space.layout);
  analysis.volumes.reserve(space.volumes.size());
  for (const Volume& volume : space.volumes) analysis.volumes.push_back(look_at(volume, map));
  analysis.disk = tally(map, {io::ByteRange{0, disk.size()}});
  analysis.free = tally(map, space.free);
  analysis.free_ranges = std::move(space.free);
  analysis.discarded = std::move(space.discarded);
  for (const DiscardedFile& file : analysis.discarded) {
    const Tally one = tally(map, file.ranges);
    analysis.swap.size += one.size;
    analysis.swap.data += one.data;
    analysis.swap.zeros += one.zeros;
  }
  analysis.unpartitioned_ranges = outside(analysis.layout, disk.size());
  analysis.unpartitioned = tally(map, analysis.unpartitioned_ranges);
  return analysis;
}

}  // namespace formats
