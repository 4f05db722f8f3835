// A sparse VMware disk image: its header, footer, descriptor, tables and packed grains.
#include "tests/fuzz/block_map_fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return formats::fuzz::try_block_image(formats::Format::vmdk, {data, size});
}
