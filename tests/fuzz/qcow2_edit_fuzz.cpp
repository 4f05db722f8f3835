// A qcow2 file that is changed in place, as it is and after a repair: by each kind of change it
// becomes a consistent image with the content that it is to have, or it stays as it was, byte for
// byte of what it uses.
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "formats/images/qcow2/bitmap_editor.hpp"
#include "formats/images/qcow2/check.hpp"
#include "formats/images/qcow2/disk_editor.hpp"
#include "formats/images/qcow2/editing.hpp"
#include "formats/images/qcow2/free_clusters.hpp"
#include "formats/images/qcow2/mapping.hpp"
#include "formats/images/qcow2/refcounts.hpp"
#include "formats/images/qcow2/repair.hpp"
#include "formats/images/qcow2/snapshot_editor.hpp"
#include "io/error.hpp"

namespace {

using namespace formats::qcow2;

const io::StopFlag never_stop{0};
constexpr std::uint64_t most_pieces = 300;

struct Piece {
  RunKind kind;
  std::uint64_t guest;
  std::uint64_t length;
  std::vector<std::byte> stored;
  friend bool operator==(const Piece&, const Piece&) = default;
};

io::File memory_file(std::span<const std::uint8_t> content) {
  io::File file(io::FileDescriptor(memfd_create("fuzz", MFD_CLOEXEC)), "fuzz");
  file.write_at(0, std::as_bytes(content));
  return file;
}

std::vector<std::byte> bytes_in(const io::File& file) {
  std::vector<std::byte> bytes(file.size());
  file.read_at(0, bytes);
  return bytes;
}

// Without what is in clusters that nothing uses: a change that was given up may have been there.
std::vector<std::byte> used_bytes_in(const io::File& file) {
  auto bytes = bytes_in(file);
  try {
    refuse_damaged(file, never_stop);
    const Header header = read_header(file);
    TableReader tables(file);
    Refcounts refcounts(tables, header);
    const std::uint64_t cluster_size = header.geometry.cluster_size();
    for (std::uint64_t at = 0; at < bytes.size(); at += cluster_size) {
      if (refcounts.of(at / cluster_size) != 0) continue;
      std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(at),
                  std::min<std::uint64_t>(cluster_size, bytes.size() - at), std::byte{0});
    }
  } catch (const io::Error&) {
    // Then it is refused before anything is written.
  }
  return bytes;
}

// The start of the guest's disk. Throws io::Error where a table of it cannot be read.
std::vector<Piece> disk_of(const io::File& file) {
  const Header header = read_header(file);
  TableReader tables(file);
  Mapping mapping(tables, {header.geometry, header.version > 2, header.external_data},
                  load_l1(tables, header.geometry, header.l1_offset, header.l1_entries),
                  header.virtual_size);
  std::vector<Piece> disk;
  GuestOffset guest;
  while (disk.size() < most_pieces && guest.value < header.virtual_size) {
    const Run run = mapping.run_at(guest, header.virtual_size - guest.value);
    Piece piece{run.kind, run.guest.value, run.length, {}};
    guest = guest + run.length;
    if (run.kind == RunKind::data && !header.external_data) piece.stored.resize(run.length);
    if (run.kind == RunKind::compressed) piece.stored.resize(run.stored_bytes);
    if (!piece.stored.empty()) file.read_at(run.host->value, piece.stored);
    disk.push_back(std::move(piece));
  }
  return disk;
}

void refuse_inconsistent(const io::File& file) {
  const CheckResult result = check(
      file, [](const std::string&) {}, never_stop);
  if (result.corruptions != 0 || result.errors != 0) std::abort();
}

using Change = std::function<void(const io::File& file, const Header& header)>;

// False where it was refused.
bool changed(const io::File& file, const Change& change) {
  const auto before = used_bytes_in(file);
  try {
    change(file, read_header(file));
  } catch (const io::Error&) {
    if (used_bytes_in(file) != before) std::abort();
    return false;
  }
  refuse_inconsistent(file);
  return true;
}

void snapshots(std::span<const std::uint8_t> content) {
  const io::File file = memory_file(content);
  const auto create = [](const io::File& image, const Header&) {
    create_snapshot(image, "fuzzed", 1, 2, never_stop);
  };
  if (!changed(file, create)) return;
  const auto disk = disk_of(file);
  if (changed(file, [](const io::File& image,
                       const Header&) { apply_snapshot(image, "fuzzed", never_stop); }) &&
      disk_of(file) != disk) {
    std::abort();
  }
  if (!changed(file, [](const io::File& image, const Header&) {
        delete_snapshot(image, "fuzzed", never_stop);
      })) {
    std::abort();
  }
  if (disk_of(file) != disk) std::abort();
  release_room_behind(file, never_stop);
  refuse_inconsistent(file);
  if (disk_of(file) != disk) std::abort();
  const auto table = read_snapshots(TableReader(file), read_header(file));
  if (table.snapshots.empty()) return;
  const std::string first = table.snapshots.front().id;
  changed(file,
          [&](const io::File& image, const Header&) { apply_snapshot(image, first, never_stop); });
  changed(file, [](const io::File& image, const Header&) { empty_disk(image, never_stop); });
}

void bitmaps(std::span<const std::uint8_t> content) {
  const io::File file = memory_file(content);
  changed(file, [](const io::File& image, const Header& header) {
    const auto disk = disk_of(image);
    BitmapEditor editor(image, never_stop);
    editor.add("fuzzed", default_granularity_bits(header.geometry));
    const auto listed = editor.bitmaps();
    for (const Bitmap& bitmap : listed) {
      if (!bitmap.in_use) editor.merge("fuzzed", image, bitmap.name);
    }
    if (listed.size() > 1) editor.remove(listed.front().name);
    editor.finish();
    if (disk_of(image) != disk) std::abort();
  });
}

void writes(std::span<const std::uint8_t> content) {
  const io::File file = memory_file(content);
  changed(file, [](const io::File& image, const Header& header) {
    refuse_unwritable(image, header);
    (void)read_editable(image);
    refuse_damaged(image, never_stop);
    const std::uint64_t cluster = header.geometry.cluster_size();
    if (header.virtual_size < 3 * cluster) return;
    // What is the disk's alone is written over in its place, so nothing may fail from here on.
    std::vector<std::byte> bytes(2 * cluster, std::byte{7});
    std::fill_n(bytes.begin(), cluster, std::byte{0});
    DiskEditor editor(image, header, header);
    editor.write({cluster}, bytes);
    editor.finish();
  });
}

std::vector<std::uint8_t> repaired(std::span<const std::uint8_t> content) {
  const io::File file = memory_file(content);
  repair(file, RepairScope::all, never_stop);
  mark_clean(file);
  const auto bytes = bytes_in(file);
  const auto* begin = reinterpret_cast<const std::uint8_t*>(bytes.data());
  return {begin, begin + bytes.size()};
}

void guarded(void (*work)(std::span<const std::uint8_t>), std::span<const std::uint8_t> content) {
  try {
    work(content);
  } catch (const io::Error&) {
    // Not an image, or one that cannot be looked at.
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  for (const auto work : {snapshots, bitmaps, writes}) guarded(work, {data, size});
  guarded(
      [](std::span<const std::uint8_t> content) {
        const auto mended = repaired(content);
        for (const auto work : {snapshots, bitmaps, writes}) work(mended);
      },
      {data, size});
  return 0;
}
