#include "formats/images/qcow2/snapshot_repair.hpp"

#include "formats/images/qcow2/refcount_editor.hpp"
#include "formats/images/qcow2/snapshots.hpp"

namespace formats::qcow2 {

void mend_snapshots(const io::File& file) {
  Header header = read_header(file);
  const TableReader tables(file);
  const SnapshotTable old = read_snapshots_to_mend(tables, header);
  if (!any_to_be_mended(old)) return;
  RefcountEditor refcounts(file, header);
  refcounts.release(header.snapshots_offset, old.bytes);
  header.snapshots_offset = refcounts.place(mended_table(tables, header, old));
  header.snapshot_count = static_cast<std::uint32_t>(old.snapshots.size());
  refcounts.take_into_use(header);
}

}  // namespace formats::qcow2
