#include "formats/disks/filesystems/btrfs/gaps.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "formats/disks/filesystems/doubt.hpp"

namespace formats::filesystems::btrfs {
namespace {

constexpr std::size_t most_free_ranges = std::size_t{1} << 20;

void check_extents(bool holds, std::string_view what) {
  if (!holds) {
    throw Doubt(Reason::damaged, fmt::format("its extents are damaged: {}", what),
                std::string(repair));
  }
}

}  // namespace

Gaps::Gaps(const ChunkMap& chunks, std::uint32_t sector_size)
    : chunks_(chunks.chunks()),
      sector_size_(sector_size),
      groups_(chunks_.size()),
      free_(0, sector_size, most_free_ranges) {
  if (!chunks_.empty()) position_ = chunks_[0].address;
}

void Gaps::add_extent(std::uint64_t address, std::uint64_t length) {
  check_extents(length > 0 && length % sector_size_ == 0 && address % sector_size_ == 0,
                "one that is not whole sectors");
  while (current_ < chunks_.size() && address >= chunks_[current_].end()) finish_chunk();
  check_extents(current_ < chunks_.size() && address >= position_ &&
                    length <= chunks_[current_].end() - address,
                "one outside of the chunks, or over another");
  add_gap(address);
  position_ = address + length;
  groups_[current_].used += length;
  used_ += length;
}

void Gaps::add_group(std::uint64_t address, std::uint64_t length, std::uint64_t type,
                     std::uint64_t used) {
  const auto chunk = std::lower_bound(
      chunks_.begin(), chunks_.end(), address,
      [](const Chunk& candidate, std::uint64_t wanted) { return candidate.address < wanted; });
  check_extents(chunk != chunks_.end() && chunk->address == address && chunk->length == length &&
                    chunk->type == type,
                "a block group without a chunk");
  Group& group = groups_[static_cast<std::size_t>(chunk - chunks_.begin())];
  check_extents(!group.stated, "two block groups at one place");
  group.stated = used;
}

void Gaps::finish() {
  while (current_ < chunks_.size()) finish_chunk();
  for (const Group& group : groups_) {
    check_extents(group.stated == group.used, "a block group that counts other bytes than it has");
  }
}

bool Gaps::have_any_of(std::uint64_t address, std::uint64_t length) const {
  return free_.have_any_of(address / sector_size_, length / sector_size_);
}

void Gaps::add_gap(std::uint64_t end) {
  free_.add(position_ / sector_size_, (end - position_) / sector_size_);
}

void Gaps::finish_chunk() {
  add_gap(chunks_[current_].end());
  if (++current_ < chunks_.size()) position_ = chunks_[current_].address;
}

}  // namespace formats::filesystems::btrfs
