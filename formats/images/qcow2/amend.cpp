#include "formats/images/qcow2/amend.hpp"

#include "formats/images/qcow2/editing.hpp"
#include "formats/images/qcow2/refcount_editor.hpp"
#include "formats/images/qcow2/snapshots.hpp"
#include "io/error.hpp"

namespace formats::qcow2 {
namespace {

[[noreturn]] void refuse_amendment(const io::File& file, const char* text) {
  throw io::Error(io::ErrorKind::unsupported, file.path(), text);
}

}  // namespace

void amend(const io::File& file, const Amendment& amendment, const io::StopFlag& stop) {
  const Header now = read_editable(file);
  Header next = now;
  next.version = amendment.version.value_or(now.version);
  next.lazy_refcounts = amendment.lazy_refcounts.value_or(now.lazy_refcounts);
  if (next.version < now.version) {
    refuse_amendment(file,
                     "is of version 3 and stays so; imgtool convert -o compat=0.10 makes an image "
                     "of version 2 of it");
  }
  if (next.version < 3 && next.lazy_refcounts) {
    refuse_amendment(file, "is of version 2, which has no lazy refcounts; add compat=1.1");
  }
  if (next.version == now.version && next.lazy_refcounts == now.lazy_refcounts) return;
  refuse_damaged(file, stop);
  RefcountEditor refcounts(file, now);
  if (next.version > now.version) {
    const TableReader tables(file);
    const SnapshotTable table = read_snapshots(tables, next);  // as version 3 sees it
    if (any_to_be_mended(table)) {
      refcounts.release(now.snapshots_offset, table.bytes);
      next.snapshots_offset = refcounts.place(mended_table(tables, next, table));
    }
  }
  io::throw_if_stopped(stop, file.path());
  refcounts.take_into_use(next);
}

}  // namespace formats::qcow2
