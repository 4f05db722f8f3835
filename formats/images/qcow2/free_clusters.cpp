#include "formats/images/qcow2/free_clusters.hpp"

#include "formats/images/qcow2/refcount_editor.hpp"
#include "formats/images/qcow2/refcounts.hpp"
#include "formats/images/qcow2/snapshots.hpp"

namespace formats::qcow2 {

namespace {

// Whether so many clusters are free before the last one in use that moving tables there is worth
// it.
bool has_holes(const io::File& file) {
  constexpr std::uint64_t least = 4;  // a refcount block, the table of them, and an L1 table move
  const Header header = read_header(file);
  TableReader tables(file);
  Refcounts refcounts(tables, header);
  std::uint64_t free = 0;
  std::uint64_t holes = 0;
  for (std::uint64_t at = 0; at * header.geometry.cluster_size() < tables.file_size(); ++at) {
    if (refcounts.of(at) == 0) {
      ++free;
    } else {
      holes = free;
    }
    if (holes >= least) return true;
  }
  return false;
}

}  // namespace

void release_free_clusters(const io::File& file, const io::StopFlag& stop) {
  if (file.status().kind != io::FileKind::regular) return;
  const Header header = read_header(file);
  TableReader tables(file);
  Refcounts refcounts(tables, header);
  const std::uint64_t cluster_size = header.geometry.cluster_size();
  const std::uint64_t size = tables.file_size();
  const std::uint64_t clusters = io::align_up(size, cluster_size) / cluster_size;
  bool can_punch = true;
  std::uint64_t first_free = 0;  // of the run that ends before `cluster`
  for (std::uint64_t cluster = 0; cluster < clusters; ++cluster) {
    const auto count = refcounts.of(cluster);
    if (count && *count == 0) continue;
    if (cluster > first_free && can_punch) {
      io::throw_if_stopped(stop, file.path());
      can_punch =
          file.punch_hole(io::range_between(first_free * cluster_size, cluster * cluster_size));
    }
    first_free = cluster + 1;
  }
  if (first_free < clusters && first_free > 0) file.truncate(first_free * cluster_size);
  file.sync();
}

void release_room_behind(const io::File& file, const io::StopFlag& stop) {
  if (file.status().kind != io::FileKind::regular) return;
  if (has_holes(file)) {
    Header header = read_header(file);
    RefcountEditor refcounts(file, header);
    header.l1_offset =
        refcounts.moved_forward(header.l1_offset, std::uint64_t{header.l1_entries} * 8);
    header.snapshots_offset = refcounts.moved_forward(
        header.snapshots_offset, read_snapshots(TableReader(file), header).bytes);
    refcounts.move_forward();
    refcounts.take_into_use(header);
  }
  release_free_clusters(file, stop);
}

}  // namespace formats::qcow2
