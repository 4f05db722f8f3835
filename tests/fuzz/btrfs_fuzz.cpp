// A btrfs on an OverlayDisk. Anything but a map that lies inside the disk or an io::Error is a bug.
#include <cstdint>

#include "formats/crc32c.hpp"
#include "formats/filesystems/btrfs.hpp"
#include "tests/fuzz/probe_once.hpp"

namespace {

// Makes checksums right, or no input that was changed would get past them. The parser reads
// blocks one by one.
void set_checksum(io::ByteRange /*range*/, std::span<std::byte> bytes) {
  if (bytes.size() < 4096) return;
  formats::store_little_endian(bytes, 0, formats::crc32c(bytes.subspan(32)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tests::probe_once({data, size}, formats::filesystems::probe_btrfs, set_checksum);
  return 0;
}
