#include "formats/disks/filesystems/exfat/directory.hpp"

#include <algorithm>
#include <bit>

#include <fmt/format.h>

#include "formats/bytes/checksum.hpp"
#include "formats/bytes/little_endian.hpp"
#include "formats/disks/filesystems/doubt.hpp"

namespace formats::filesystems::exfat {
namespace {

// Bytes 2 and 3 hold the sum itself.
std::uint16_t checksum(const EntrySet& set) {
  std::uint16_t sum = 0;
  for (std::size_t i = 0; i < set.size(); ++i) {
    if (i == 2 || i == 3) continue;
    sum = static_cast<std::uint16_t>(std::rotr(sum, 1) + std::to_integer<unsigned>(set[i]));
  }
  return sum;
}

}  // namespace

Allocation allocation_in(const EntrySet& set, std::size_t at) {
  const std::span<const std::byte> entry = std::span(set).subspan(at, entry_bytes);
  Allocation allocation;
  allocation.first = load_little_endian<std::uint32_t>(entry, 20);
  allocation.length = load_little_endian<std::uint64_t>(entry, 24);
  const bool secondary = (std::to_integer<unsigned>(entry[0]) & entry_type::secondary) != 0;
  if (secondary) {
    const auto flags = std::to_integer<unsigned>(entry[1]);
    allocation.contiguous = (flags & 2) != 0;
    if ((flags & 1) == 0) allocation.length = 0;
  }
  return allocation;
}

DirectoryReader::DirectoryReader(DiskView& view, const Volume& volume, std::vector<ClusterRun> runs)
    : view_(view), volume_(volume), runs_(std::move(runs)) {}

std::optional<EntrySet> DirectoryReader::next() {
  EntrySet set;
  unsigned type = 0;
  do {
    set.clear();
    if (!append_entry(set)) return std::nullopt;
    type = type_of(set);
    if (type == 0) return std::nullopt;
  } while ((type & entry_type::in_use) == 0);
  if ((type & entry_type::secondary) != 0) {
    throw Doubt(Reason::damaged,
                fmt::format("a directory has an entry of type {:#x} that belongs to no file", type),
                remedy_check);
  }
  if (type != entry_type::file) return set;

  const auto secondaries = std::to_integer<unsigned>(set[1]);
  for (unsigned i = 0; i < secondaries; ++i) {
    const bool there = append_entry(set);
    const unsigned first = there ? std::to_integer<unsigned>(set[set.size() - entry_bytes]) : 0;
    if ((first & (entry_type::in_use | entry_type::secondary)) !=
        (entry_type::in_use | entry_type::secondary)) {
      throw Doubt(Reason::damaged, "a directory has an entry that is cut short", remedy_check);
    }
  }
  if (!checksum_fits(load_little_endian<std::uint16_t>(set, 2), checksum(set))) {
    throw Doubt(Reason::damaged, "the checksum of a directory entry is wrong", remedy_check);
  }
  return set;
}

bool DirectoryReader::append_entry(EntrySet& set) {
  if (at_ == buffer_.size() && !fill()) return false;
  const std::span<const std::byte> entry = std::span(buffer_).subspan(at_, entry_bytes);
  if (set.empty()) places_ = {buffer_place_ + at_, 0};
  if (set.size() == entry_bytes) places_[1] = buffer_place_ + at_;
  set.insert(set.end(), entry.begin(), entry.end());
  at_ += entry_bytes;
  return true;
}

bool DirectoryReader::fill() {
  constexpr std::uint64_t piece = 64 * io::KiB;
  if (run_ == runs_.size()) return false;
  const ClusterRun& run = runs_[run_];
  const std::uint64_t length = std::uint64_t{run.count} * volume_.cluster_size;
  const std::uint64_t size = std::min(piece, length - in_run_);
  buffer_place_ = volume_.offset_of(run.first) + in_run_;
  buffer_ = view_.read(buffer_place_, size);
  at_ = 0;
  in_run_ += size;
  if (in_run_ == length) {
    ++run_;
    in_run_ = 0;
  }
  return true;
}

}  // namespace formats::filesystems::exfat
