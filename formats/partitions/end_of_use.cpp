#include "formats/partitions/end_of_use.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "formats/filesystems/probe.hpp"
#include "formats/partitions/layout.hpp"

namespace formats::partitions {
namespace {

std::uint64_t end_of_data(DiskView& disk) {
  std::uint64_t end = 0;
  for (std::uint64_t at = 0; at < disk.size();) {
    const io::Extent extent = disk.source().extent_at(disk.begin() + at);
    at = std::min(extent.range.end() - disk.begin(), disk.size());
    if (!extent.reads_as_zero()) end = at;
  }
  return end;
}

std::string last_partition(const Layout& layout) {
  const std::uint64_t end = layout.end_of_partitions();
  for (const Partition& partition : layout.partitions) {
    if (partition.range.end() == end) return fmt::format("partition {}", partition.number);
  }
  return "the extended partition";
}

}  // namespace

EndOfUse end_of_use(DiskView& disk) {
  const Layout layout = read_layout(disk);
  if (layout.kind == TableKind::none || layout.end_of_partitions() == 0) {
    const auto found = filesystems::probe(disk, {.last_on_disk = true});
    if (!found.type.empty() && found.size > 0) {
      return {found.size, fmt::format("a file system ({}) ends there", found.type)};
    }
    return {end_of_data(disk), "data is stored up to there"};
  }
  if (!layout.gpt) return {layout.least_size(), last_partition(layout) + " ends there"};
  return {layout.least_size(),
          last_partition(layout) + " ends there, and the backup GPT needs its place behind it"};
}

}  // namespace formats::partitions
