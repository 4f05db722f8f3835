// What NTFS and btrfs compress by algorithms of their own: an even first byte is LZNT1, an odd one
// LZO. The second one tells how much is wanted, in pages.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "formats/bytes/lznt1.hpp"
#include "formats/bytes/lzo.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  std::vector<std::byte> out(std::size_t{data[1] % 33U} * 4096);
  const auto stream = std::as_bytes(std::span(data + 2, size - 2));
  const auto filled = data[0] % 2 == 0 ? formats::decode_lznt1(stream, out)
                                       : formats::decode_btrfs_lzo(stream, out);
  if (filled && *filled > out.size()) std::abort();
  return 0;
}
