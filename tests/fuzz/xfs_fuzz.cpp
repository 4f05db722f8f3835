// An XFS on an OverlayDisk. Anything but a map that lies inside the disk or an io::Error is a bug.
#include "formats/disks/filesystems/xfs.hpp"
#include "tests/fuzz/probe_once.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tests::probe_once({data, size}, formats::filesystems::probe_xfs);
  return 0;
}
