// A disk of a few sectors, with partitions or without: all parsers at once, swap areas and opaque
// signatures among them. Nothing may be called free twice, or outside of its container, and a
// source that works gives no error. See file_system_fuzz.hpp.
#include "formats/disks/free_space.hpp"
#include "tests/fuzz/file_system_fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace formats::filesystems;
  SparseDisk disk = disk_from(std::as_bytes(std::span(data, size)));
  formats::DiskView view(shared_ring(), disk);
  const formats::FreeSpace found = formats::find_free_space(view);
  std::uint64_t end = 0;
  std::uint64_t free = 0;
  for (const io::ByteRange& range : found.free) {
    must_hold(!range.empty() && range.offset >= end && range.end() <= view.size());
    end = range.end();
    free += range.length;
  }
  for (const formats::Volume& container : found.volumes) {
    must_hold(!container.file_system.kept_whole() || container.free.empty());
    for (const io::ByteRange& range : container.free) free -= range.length;
  }
  must_hold(free == 0);
  return 0;
}
