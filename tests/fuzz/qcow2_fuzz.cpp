// A qcow2 file: header, extensions, snapshots, bitmaps, refcounts, the mapping of the disk, and
// what is compressed. Anything but an io::Error, or a use of memory out of proportion, is a bug.
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "formats/qcow2/bitmaps.hpp"
#include "formats/qcow2/decompress.hpp"
#include "formats/qcow2/mapping.hpp"
#include "formats/qcow2/refcounts.hpp"
#include "formats/qcow2/snapshots.hpp"
#include "io/error.hpp"

namespace {

using namespace formats::qcow2;

io::File memory_file(std::span<const std::uint8_t> content) {
  io::File file(io::FileDescriptor(memfd_create("fuzz", MFD_CLOEXEC)), "fuzz");
  file.write_at(0, std::as_bytes(content));
  return file;
}

template <class Step>
void attempt(const Step& step) {
  try {
    step();
  } catch (const io::Error&) {
  }
}

void decode(const Run& run, const TableReader& tables, const Header& header) {
  if (run.host->value > tables.file_size() ||
      run.stored_bytes > tables.file_size() - run.host->value) {
    return;
  }
  std::vector<std::byte> stream(run.stored_bytes);
  tables.read(*run.host, stream, "a stream");
  std::vector<std::byte> cluster(header.geometry.cluster_size());
  (void)decompress(header.compression, stream, cluster);
}

// Runs must cover the disk without a gap; a thousand of them are enough.
void walk(TableReader& tables, const Header& header, std::vector<HostOffset> l1,
          std::uint64_t size) {
  const L2Rules rules{header.geometry, header.version > 2, header.external_data};
  Mapping mapping(tables, rules, std::move(l1), size);
  GuestOffset guest;
  for (int i = 0; i < 1000 && guest.value < size; ++i) {
    const Run run = mapping.run_at(guest, size - guest.value);
    if (run.length == 0 || run.length > size - guest.value || run.guest != guest) std::abort();
    if (run.kind == RunKind::compressed && i < 50) decode(run, tables, header);
    guest = guest + run.length;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const io::File file = memory_file({data, size});
  attempt([&] {
    const Header header = read_header(file);
    TableReader tables(file);
    attempt([&] { read_bitmaps(tables, header); });
    attempt([&] { looks_preallocated(file, tables, header); });
    attempt([&] {
      walk(tables, header, load_l1(tables, header.geometry, header.l1_offset, header.l1_entries),
           header.virtual_size);
    });
    attempt([&] {
      for (const Snapshot& snapshot : read_snapshots(tables, header).snapshots) {
        attempt(
            [&] { walk(tables, header, load_l1(tables, header, snapshot), snapshot.disk_size); });
      }
    });
  });
  return 0;
}
