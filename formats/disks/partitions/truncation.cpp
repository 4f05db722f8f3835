#include "formats/disks/partitions/truncation.hpp"

#include <algorithm>
#include <string_view>

namespace formats::partitions {
namespace {

// 255 heads of 63 sectors of 512 bytes, the largest that an MBR knows.
constexpr std::uint64_t largest_cylinder = std::uint64_t{255} * 63 * 512;

}  // namespace

bool is_iso(DiskView& content) {
  constexpr std::string_view name = "CD001";
  constexpr std::uint64_t place = 32'769;
  if (!content.holds(place, name.size())) return false;
  const auto found = content.read(place, name.size());
  return std::equal(name.begin(), name.end(), found.begin(),
                    [](char a, std::byte b) { return static_cast<std::byte>(a) == b; });
}

std::optional<Truncation> find_truncation(DiskView& content, const Layout& layout) {
  const std::uint64_t size = layout.disk_size;
  const std::uint64_t end = layout.end_of_partitions();
  if (end <= size) return std::nullopt;
  if (layout.kind == TableKind::mbr && end - size < largest_cylinder && is_iso(content)) {
    return std::nullopt;
  }
  Truncation found{0, end - size, end};
  std::uint64_t first_end = end;
  for (const Partition& partition : layout.partitions) {
    if (partition.range.end() <= size || partition.range.end() > first_end) continue;
    found.partition = partition.number;
    first_end = partition.range.end();
  }
  return found;
}

}  // namespace formats::partitions
