// A disk of a few sectors, taken for a physical volume of LVM2: its volumes must lie inside of it,
// and share nothing with what is free. See file_system_fuzz.hpp.
#include "formats/disks/lvm/lvm.hpp"
#include "tests/fuzz/file_system_fuzz.hpp"

namespace formats::filesystems {

void check_volume(const LogicalVolume& volume, const FileSystem& member) {
  must_hold(volume.size > 0);
  must_hold((volume.reason == Reason::none) != volume.segments.empty());
  if (volume.segments.empty()) return;
  const io::ByteRange start{0, std::min<std::uint64_t>(volume.size, io::MiB)};
  std::uint64_t length = 0;
  for (const VolumePiece& piece : pieces_of(volume, start)) {
    length += piece.range.length;
    must_hold(piece.range.end() <= member.size);
    for (const io::ByteRange& free : member.free) {
      must_hold(io::intersection(free, piece.range).empty());
    }
  }
  must_hold(length == start.length);
  for (const io::ByteRange& place : places_of(volume, start)) length -= place.length;
  must_hold(length == 0);
}

}  // namespace formats::filesystems

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace formats::filesystems;
  SparseDisk disk = disk_from(std::as_bytes(std::span(data, size)));
  formats::DiskView view(shared_ring(), disk);
  try {
    const auto found = probe_lvm(view);
    if (!found) return 0;
    check_answer(*found);
    for (const LogicalVolume& volume : found->volumes) check_volume(volume, *found);
  } catch (const io::Error&) {
  }
  return 0;
}
