#include "formats/crc32.hpp"

#include <array>
#include <cassert>

#include <libdeflate.h>

#include "formats/little_endian.hpp"

namespace formats {
namespace {

// Polynomials over GF(2) of degree below 32, bits reversed: x^0 is the highest bit.
constexpr std::uint32_t ieee_polynomial = 0xEDB88320;
constexpr std::uint32_t one = 0x80000000;

constexpr std::uint32_t product(std::uint32_t a, std::uint32_t b) {
  std::uint32_t sum = 0;
  for (std::uint32_t bit = one; bit != 0; bit >>= 1U) {
    if ((a & bit) != 0) sum ^= b;
    b = (b & 1U) != 0 ? (b >> 1U) ^ ieee_polynomial : b >> 1U;
  }
  return sum;
}

// What a CRC is multiplied with when `bytes` follow it: x^(8 * bytes).
std::uint32_t shift_by(std::uint64_t bytes) {
  std::uint32_t power = 0x00800000;  // x^8
  std::uint32_t result = one;
  for (; bytes != 0; bytes >>= 1U) {
    if ((bytes & 1U) != 0) result = product(result, power);
    power = product(power, power);
  }
  return result;
}

// The CRC of what has CRC `first`, followed by `bytes` that have CRC `second`.
std::uint32_t combined(std::uint32_t first, std::uint32_t second, std::uint64_t bytes) {
  return product(shift_by(bytes), first) ^ second;
}

}  // namespace

std::uint32_t crc32(std::uint32_t crc, std::span<const std::byte> bytes) {
  return libdeflate_crc32(crc, bytes.data(), bytes.size());
}

std::uint32_t crc32_of_words(std::uint32_t crc, std::uint32_t word, std::uint64_t length) {
  assert(length % sizeof(word) == 0);
  std::array<std::byte, sizeof(word)> bytes{};
  store_little_endian(bytes, 0, word);
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
