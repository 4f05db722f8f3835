// A Parallels image: its header, its tables and what they say about the disk.
#include "tests/fuzz/block_map_fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return formats::fuzz::try_block_image(formats::Format::parallels, {data, size});
}
