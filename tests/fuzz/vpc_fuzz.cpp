// A VHD image: its footer, its dynamic header, its block table and the bitmaps of sectors.
#include "tests/fuzz/block_map_fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return formats::fuzz::try_block_image(formats::Format::vpc, {data, size});
}
