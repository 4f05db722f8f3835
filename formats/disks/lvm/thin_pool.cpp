#include "formats/disks/lvm/thin_pool.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "formats/bytes/little_endian.hpp"
#include "formats/disks/filesystems/doubt.hpp"
#include "formats/disks/filesystems/free_clusters.hpp"
#include "io/buffer_pool.hpp"

namespace formats::filesystems {
namespace {

using Bytes = std::span<const std::byte>;

constexpr std::uint64_t most_chunks = std::uint64_t{256} << 20;
constexpr std::size_t most_runs = std::size_t{4} << 20;
constexpr std::size_t most_devices = 65536;
constexpr std::size_t details_size = 24;
constexpr std::size_t root_size = 8;
constexpr std::size_t mapping_size = 8;
constexpr unsigned time_bits = 24;  // of a mapping; the chunk's number stands above them

std::uint64_t number_in(Bytes value) { return load_little_endian<std::uint64_t>(value, 0); }

[[noreturn]] void pool_damaged(std::string_view what) {
  throw Doubt(Reason::damaged, fmt::format("its thin pool is damaged: {}", what),
              std::string(lvm::thin_repair));
}

[[noreturn]] void pool_too_large(std::string_view what) {
  throw Doubt(Reason::unsupported, fmt::format("{} than imgtool reads", what));
}

// Makes runs of chunks that come one after the other.
class RunBuilder {
 public:
  RunBuilder(std::uint64_t chunk_size, std::uint64_t size) : chunk_size_(chunk_size), size_(size) {}

  void add(std::uint64_t chunk, std::uint64_t place, bool own) {
    if (chunk >= size_ / chunk_size_ + (size_ % chunk_size_ != 0 ? 1 : 0)) return;  // cut off
    const std::uint64_t offset = chunk * chunk_size_;
    const std::uint64_t length = std::min(chunk_size_, size_ - offset);
    place *= chunk_size_;
    if (!runs_.empty() && runs_.back().end() == offset && runs_.back().own() == own &&
        runs_.back().place + runs_.back().length() == place) {
      runs_.back().length_and_own += length;
      return;
    }
    if (runs_.size() == most_runs) pool_too_large("the thin volume is in more pieces");
    runs_.push_back({offset, place, length | (own ? 1U : 0U)});
  }

  [[nodiscard]] std::vector<ThinRun> take() { return std::move(runs_); }

 private:
  std::uint64_t chunk_size_;
  std::uint64_t size_;
  std::vector<ThinRun> runs_;
};

}  // namespace

std::uint64_t ThinMap::size() const {
  std::uint64_t bytes = 0;
  for (const ThinRun& run : runs_) bytes += run.length();
  return bytes;
}

std::vector<VolumePiece> ThinMap::pieces_of(io::ByteRange range, bool own_only) const {
  std::vector<VolumePiece> pieces;
  auto run = std::partition_point(runs_.begin(), runs_.end(),
                                  [&](const ThinRun& one) { return one.end() <= range.offset; });
  for (; run != runs_.end() && run->offset < range.end(); ++run) {
    if (own_only && !run->own()) continue;
    const io::ByteRange part = io::intersection(range, {run->offset, run->length()});
    pieces.push_back({part.offset, {run->place + (part.offset - run->offset), part.length}});
  }
  return pieces;
}

ThinPool::ThinPool(DiskView& metadata, const ThinPoolParts& parts)
    : metadata_(metadata), chunk_size_(parts.chunk_size) {
  check_settings(parts);
  uses_ = lvm::SmallCounts(metadata_.superblock().data.blocks);
  shared_.resize(metadata_.superblock().data.blocks);
  read_details();
  read_mappings();
  compare_with_space_map();
  metadata_.check_counts();
}

void ThinPool::check_settings(const ThinPoolParts& parts) const {
  const lvm::ThinSuperblock& super = metadata_.superblock();
  if (super.transaction != parts.transaction) {
    throw Doubt(Reason::damaged,
                fmt::format("its thin pool is at transaction {}, its volume group at {}",
                            super.transaction, parts.transaction),
                std::string(lvm::thin_repair));
  }
  if (super.chunk_size != parts.chunk_size || chunk_size_ == 0) {
    pool_damaged("its chunks have another size than its volume group says");
  }
  if (super.data.blocks > parts.data.size / chunk_size_) {
    pool_damaged("it has more chunks than its data volume");
  }
  if (super.data.blocks > most_chunks) pool_too_large("its thin pool has more chunks");
}

void ThinPool::read_details() {
  metadata_.walk_once(metadata_.superblock().details_root, details_size,
                      [&](std::uint64_t device, Bytes value, bool) {
                        if (devices_.size() == most_devices) {
                          pool_too_large("its thin pool has more devices");
                        }
                        devices_.push_back({.number = device, .chunks = number_in(value)});
                      });
}

void ThinPool::read_mappings() {
  std::size_t next = 0;
  metadata_.walk_once(metadata_.superblock().mapping_root, root_size,
                      [&](std::uint64_t device, Bytes value, bool) {
                        if (next == devices_.size() || devices_[next].number != device) {
                          pool_damaged("its list of devices");
                        }
                        devices_[next++].root = number_in(value);
                      });
  if (next != devices_.size()) pool_damaged("its list of devices");
  for (const Device& device : devices_) {
    metadata_.walk_once(device.root, mapping_size, [&](std::uint64_t, Bytes value, bool shared) {
      count(number_in(value) >> time_bits, shared);
    });
  }
}

void ThinPool::count(std::uint64_t chunk, bool shared) {
  if (chunk >= uses_.size()) pool_damaged("a chunk behind its end");
  uses_.add_one(chunk);
  if (shared) shared_[chunk] = true;
}

void ThinPool::compare_with_space_map() {
  metadata_.read_data_map(
      [&](std::uint64_t first, std::uint64_t count, const lvm::ThinMetadata::Counts& counts) {
        for (std::uint64_t n = 0; n < count; ++n) {
          if (counts(n) != uses_.at(first + n)) {
            pool_damaged("its space map differs from what its devices use");
          }
        }
      });
}

std::vector<io::ByteRange> ThinPool::free() const {
  FreeClusters free(0, chunk_size_);
  for (std::uint64_t chunk = 0; chunk < uses_.size(); ++chunk) {
    if (uses_.at(chunk) == 0) free.add(chunk, 1);
  }
  return std::move(free).take();
}

bool ThinPool::is_own(std::uint64_t chunk) const { return uses_.at(chunk) == 1 && !shared_[chunk]; }

ThinMap ThinPool::map_of(std::uint64_t device, std::uint64_t size, std::uint64_t& budget) {
  const auto found =
      std::lower_bound(devices_.begin(), devices_.end(), device,
                       [](const Device& one, std::uint64_t number) { return one.number < number; });
  if (found == devices_.end() || found->number != device) {
    pool_damaged(fmt::format("it has no device {}", device));
  }
  RunBuilder runs(chunk_size_, size);
  std::uint64_t chunks = 0;
  metadata_.limit(budget);
  budget = 0;  // unless it is read to its end
  metadata_.walk(found->root, mapping_size, [&](std::uint64_t chunk, Bytes value, bool) {
    const std::uint64_t place = number_in(value) >> time_bits;
    if (place >= uses_.size()) pool_damaged("a chunk behind its end");
    runs.add(chunk, place, is_own(place));
    ++chunks;
  });
  budget = metadata_.left();
  if (chunks != found->chunks) {
    pool_damaged(fmt::format("its device {} has another number of chunks than it says", device));
  }
  return ThinMap(runs.take());
}

io::Extent ThinSource::extent_at(std::uint64_t offset) {
  const auto& runs = map_.runs();
  auto run = std::partition_point(runs.begin(), runs.end(),
                                  [&](const ThinRun& one) { return one.end() <= offset; });
  if (run == runs.end()) return {io::range_between(offset, size_), io::ExtentKind::hole};
  if (run->offset > offset) {
    return {io::range_between(offset, run->offset), io::ExtentKind::hole};
  }
  return {io::range_between(offset, run->end()), io::ExtentKind::data};
}

io::Task<std::size_t> ThinSource::read(io::ByteRange range, io::Buffer buffer) {
  std::fill_n(buffer.bytes.begin(), range.length, std::byte{0});
  const auto pieces = map_.pieces_of(range, false);
  for (const VolumePiece& piece : pieces) {
    const io::AlignedMemory memory(piece.range.length);
    (void)co_await data_.read(piece.range, memory.buffer());
    const auto content = memory.bytes().first(piece.range.length);
    const auto target = buffer.bytes.subspan(piece.volume_offset - range.offset);
    std::copy(content.begin(), content.end(), target.begin());
  }
  co_return range.length;
}

}  // namespace formats::filesystems
