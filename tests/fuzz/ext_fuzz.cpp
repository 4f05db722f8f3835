// A disk of a few sectors, taken for ext2, ext3 or ext4. See file_system_fuzz.hpp.
#include "formats/disks/filesystems/ext.hpp"
#include "tests/fuzz/file_system_fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return formats::filesystems::fuzz_prober(formats::filesystems::probe_ext, data, size);
}
