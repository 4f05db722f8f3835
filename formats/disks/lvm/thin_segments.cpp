#include "formats/disks/lvm/thin_segments.hpp"

#include <algorithm>
#include <initializer_list>
#include <set>
#include <utility>

#include "formats/disks/filesystems/doubt.hpp"

namespace formats::filesystems::lvm {
namespace {

using Names = std::initializer_list<std::string_view>;
using Hidden = std::map<std::string, LogicalVolume, std::less<>>;
using Pools = std::map<std::string_view, std::shared_ptr<const ThinPoolParts>>;

bool is_segment(const Section& segment, std::string_view type, Names known) {
  return segment.text("type") == type && segment.sections.empty() &&
         std::all_of(segment.values.begin(), segment.values.end(), [&](const auto& value) {
           return std::find(known.begin(), known.end(), value.first) != known.end();
         });
}

// Without sections, so without a message that the pool has not heard of yet.
bool is_pool(const Section& segment) {
  return is_segment(
      segment, "thin-pool",
      {"start_extent", "extent_count", "type", "tags", "metadata", "pool", "transaction_id",
       "chunk_size", "discards", "zero_new_blocks", "error_when_full", "crop_metadata"});
}

bool is_thin_volume(const Section& segment) {
  return is_segment(segment, "thin",
                    {"start_extent", "extent_count", "type", "tags", "thin_pool", "transaction_id",
                     "device_id", "origin"});
}

PartUses uses_of(const Parts& parts, std::string_view name) {
  const auto found = parts.find(name);
  return found == parts.end() ? PartUses{} : found->second;
}

// A part of this pool alone, or null.
const LogicalVolume* part_of_pool(const Section& pool, std::string_view key, const Parts& parts,
                                  const Hidden& hidden) {
  const std::string name = pool.text(key);
  const auto found = hidden.find(name);
  const PartUses uses = uses_of(parts, name);
  const bool is_own = uses.by_others == 1 && uses.by_thin_volumes == 0;
  return is_own && found != hidden.end() ? &found->second : nullptr;
}

Pools pools_of(const std::vector<ThinCandidate>& candidates, const Parts& parts,
               const Hidden& hidden, std::vector<LogicalVolume>& volumes) {
  Pools pools;
  for (const ThinCandidate& one : candidates) {
    if (!is_pool(one.segment) || uses_of(parts, one.name).by_others != 0) continue;
    const LogicalVolume* data = part_of_pool(one.segment, "pool", parts, hidden);
    const LogicalVolume* metadata = part_of_pool(one.segment, "metadata", parts, hidden);
    LogicalVolume& volume = volumes[one.index];
    if (data == nullptr || metadata == nullptr || data->size != volume.size) continue;
    constexpr std::uint64_t most_sectors = std::uint64_t{1} << 21;  // device-mapper's own limit
    const std::uint64_t sectors = one.segment.number("chunk_size");
    if (sectors == 0 || sectors > most_sectors) continue;
    volume.pool = std::make_shared<const ThinPoolParts>(
        ThinPoolParts{.data = *data,
                      .metadata = *metadata,
                      .chunk_size = sectors * 512,
                      .transaction = one.segment.number("transaction_id")});
    pools.emplace(one.name, volume.pool);
  }
  return pools;
}

}  // namespace

bool is_thin_link(const Section& segment, std::string_view key) {
  return (key == "thin_pool" || key == "origin") && segment.text("type") == "thin";
}

void link_thin_volumes(const std::vector<ThinCandidate>& candidates, const Parts& parts,
                       const Hidden& hidden, std::vector<LogicalVolume>& volumes) {
  const Pools pools = pools_of(candidates, parts, hidden, volumes);
  std::set<std::pair<std::string, std::uint64_t>> devices;
  for (const ThinCandidate& one : candidates) {
    if (!is_thin_volume(one.segment) || uses_of(parts, one.name).by_others != 0) continue;
    std::string pool_name = one.segment.text("thin_pool");
    const auto pool = pools.find(pool_name);
    if (pool == pools.end()) continue;
    LogicalVolume& volume = volumes[one.index];
    volume.pool = pool->second;
    volume.device = one.segment.number("device_id");
    volume.is_thin = true;
    if (!devices.emplace(std::move(pool_name), volume.device).second) {
      throw Doubt(Reason::damaged, "two of its thin volumes are the same device",
                  "check the volume group (vgck)");
    }
  }
}

}  // namespace formats::filesystems::lvm
