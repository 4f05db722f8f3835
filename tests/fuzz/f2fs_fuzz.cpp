// An f2fs on an OverlayDisk. Anything but a map that lies inside the disk or an io::Error is a bug.
#include "formats/disks/filesystems/f2fs.hpp"
#include "tests/fuzz/probe_once.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tests::probe_once({data, size}, formats::filesystems::probe_f2fs);
  return 0;
}
