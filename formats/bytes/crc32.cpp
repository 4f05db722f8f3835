#include "formats/bytes/crc32.hpp"

#include <array>
#include <cassert>

#include <libdeflate.h>
#include <zlib.h>

#include "formats/bytes/little_endian.hpp"

namespace formats {

std::uint32_t crc32(std::uint32_t crc, std::span<const std::byte> bytes) {
  return libdeflate_crc32(crc, bytes.data(), bytes.size());
}

std::uint32_t crc32_of_words(std::uint32_t crc, std::uint32_t word, std::uint64_t length) {
  assert(length % sizeof(word) == 0);
  std::array<std::byte, sizeof(word)> bytes{};
  store_little_endian(bytes, 0, word);
  // zlib's function: libdeflate, which is faster at the bytes themselves, has none that combines.
  const auto combined = [](std::uint32_t first, std::uint32_t second,
                           std::uint64_t bytes_of_second) {
    return static_cast<std::uint32_t>(
        crc32_combine(first, second, static_cast<z_off_t>(bytes_of_second)));
  };
  // Doubles the stretch for each bit of the count.
  std::uint32_t stretch_crc = crc32(0, bytes);
  std::uint64_t stretch = bytes.size();
  for (std::uint64_t count = length / sizeof(word); count != 0; count >>= 1U) {
    if ((count & 1U) != 0) crc = combined(crc, stretch_crc, stretch);
    stretch_crc = combined(stretch_crc, stretch_crc, stretch);
    stretch *= 2;
  }
  return crc;
}

}  // namespace formats
