// An Apple disk image: its trailer, its tables, and the chunks that they name.
#include "tests/fuzz/block_map_fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return formats::fuzz::try_block_image(formats::Format::dmg, {data, size});
}
