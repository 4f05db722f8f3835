// A qcow2 file: header, extensions, snapshots, bitmaps, refcounts, the mapping of the disk, and
// what is compressed. Anything but an io::Error, or a use of memory out of proportion, is a bug.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "formats/images/qcow2/bitmaps.hpp"
#include "formats/images/qcow2/mapping.hpp"
#include "formats/images/qcow2/reader.hpp"
#include "formats/images/qcow2/refcounts.hpp"
#include "formats/images/qcow2/snapshots.hpp"
#include "io/buffer_pool.hpp"
#include "io/error.hpp"
#include "io/task_group.hpp"

namespace {

using namespace formats::qcow2;

constexpr std::uint64_t most_content = 256 * io::KiB;

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

// As the commands read it, several streams at once, some cut short by the end of the file.
void read_content(const io::File& file) {
  static const io::MadeRing made = io::make_ring({});
  Qcow2Image image(*made.ring, io::File(io::FileDescriptor(dup(file.fd())), "fuzz"), {});
  const std::uint64_t end = std::min(*image.size(), most_content);
  const std::uint64_t piece = std::max(most_content / 16, image.cluster_size());
  const io::AlignedMemory memory(piece);
  for (std::uint64_t at = 0; at < end; at += piece) {
    const io::ByteRange range = io::range_between(at, std::min(at + piece, end));
    attempt([&] { io::run_task(*made.ring, image.read(range, memory.buffer())); });
  }
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
    guest = guest + run.length;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const io::File file = memory_file({data, size});
  attempt([&] { read_content(file); });
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
