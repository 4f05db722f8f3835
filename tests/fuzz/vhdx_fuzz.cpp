// A VHDX image: its headers, its log, regions, metadata and block table.
//
// The input is what such an image, of 4 MiB at least, has beside zeros: the number of its pages of
// 4 KiB, then pieces {page, count of bytes, bytes}.
#include "formats/bytes/little_endian.hpp"
#include "tests/fuzz/block_map_fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::uint64_t page = 4096;
  constexpr std::uint32_t most_pages = 4096;
  auto rest = std::as_bytes(std::span(data, size));
  if (rest.size() < 4) return 0;
  const std::uint32_t pages =
      std::min(formats::load_little_endian<std::uint32_t>(rest, 0), most_pages);
  rest = rest.subspan(4);
  auto file = formats::fuzz::memory_file();
  file->truncate(pages * page);
  while (rest.size() > 6) {
    const auto number = formats::load_little_endian<std::uint32_t>(rest, 0);
    const auto bytes = formats::load_little_endian<std::uint16_t>(rest, 4);
    rest = rest.subspan(6);
    const auto content = rest.first(std::min<std::size_t>({rest.size(), bytes, page}));
    if (number < pages) file->write_at(number * page, content);
    rest = rest.subspan(content.size());
  }
  return formats::fuzz::try_block_image(formats::Format::vhdx, std::move(file));
}
