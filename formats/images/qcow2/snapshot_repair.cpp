#include "formats/images/qcow2/snapshot_repair.hpp"

#include <algorithm>
#include <array>
#include <cstdint>

#include "formats/bytes/big_endian.hpp"
#include "formats/images/qcow2/header_layout.hpp"
#include "formats/images/qcow2/refcount_editor.hpp"
#include "formats/images/qcow2/snapshots.hpp"

namespace formats::qcow2 {

void complete_snapshots(const io::File& file) {
  const Header header = read_header(file);
  const TableReader tables(file);
  const SnapshotTable old = read_snapshots(tables, header);
  if (!any_incomplete(old)) return;
  const auto table = completed_table(tables, header, old);
  const std::uint64_t cluster_size = header.geometry.cluster_size();
  const auto clusters_of = [&](std::uint64_t bytes) {
    return io::align_up(bytes, cluster_size) / cluster_size;
  };

  RefcountEditor refcounts(file, header);
  const HostOffset place = refcounts.append(file.size(), clusters_of(table.size()));
  file.write_at(place.value, table);
  file.truncate(std::max(file.size(), place.value + clusters_of(table.size()) * cluster_size));
  refcounts.write_blocks();
  file.sync();
  refcounts.write_table();
  file.sync();
  std::array<std::byte, 8> field{};
  store_big_endian<std::uint64_t>(field, 0, place.value);
  file.write_at(at::snapshots_offset, field);
  file.sync();

  const std::uint64_t first = header.snapshots_offset.value / cluster_size;
  for (std::uint64_t i = 0; i < clusters_of(old.bytes); ++i) refcounts.release(first + i);
  refcounts.write_blocks();
  file.sync();
}

}  // namespace formats::qcow2
