// A block map. Anything but an io::Error, or ranges that are not what Bmap promises, is a bug.
#include <cstdint>
#include <cstdlib>

#include "formats/images/bmap/bmap.hpp"
#include "io/error.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const auto map = formats::bmap::parse("fuzz", std::as_bytes(std::span(data, size)));
    std::uint64_t position = 0;
    for (const auto& range : map.mapped) {
      if (range.bytes.offset < position || range.bytes.empty()) std::abort();
      position = range.bytes.end();
    }
    if (position > map.image_size) std::abort();
    (void)map.touches({0, map.image_size});
  } catch (const io::Error&) {
  }
  return 0;
}
