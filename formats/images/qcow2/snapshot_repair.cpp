#include "formats/images/qcow2/snapshot_repair.hpp"

#include "formats/images/qcow2/refcount_editor.hpp"
#include "formats/images/qcow2/snapshots.hpp"

namespace formats::qcow2 {

void complete_snapshots(const io::File& file) {
  Header header = read_header(file);
  const TableReader tables(file);
  const SnapshotTable old = read_snapshots(tables, header);
  if (!any_incomplete(old)) return;
  RefcountEditor refcounts(file, header);
  refcounts.release(header.snapshots_offset, old.bytes);
  header.snapshots_offset = refcounts.place(completed_table(tables, header, old));
  refcounts.take_into_use(header);
}

}  // namespace formats::qcow2
