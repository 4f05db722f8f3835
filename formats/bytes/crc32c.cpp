#include "formats/bytes/crc32c.hpp"

#include <array>

#include "formats/bytes/little_endian.hpp"

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace formats {
namespace {

constexpr std::uint32_t castagnoli_polynomial = 0x82f63b78;  // bits reversed

// tables[k][b]: what byte b does to the register when k more bytes follow it.
using Tables = std::array<std::array<std::uint32_t, 256>, 8>;

constexpr Tables make_tables() {
  Tables tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t state = byte;
    for (int bit = 0; bit < 8; ++bit)
      state = (state >> 1) ^ ((state & 1) != 0 ? castagnoli_polynomial : 0);
    tables[0][byte] = state;
  }
  for (std::size_t k = 1; k < tables.size(); ++k) {
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::uint32_t before = tables[k - 1][byte];
      tables[k][byte] = (before >> 8) ^ tables[0][before & 0xff];
    }
  }
  return tables;
}

constexpr Tables tables = make_tables();

}  // namespace

std::uint32_t crc32c_update_by_table(std::uint32_t state, std::span<const std::byte> bytes) {
  for (; bytes.size() >= 8; bytes = bytes.subspan(8)) {
    const std::uint64_t word = load_little_endian<std::uint64_t>(bytes, 0) ^ state;
    state = 0;
    for (unsigned i = 0; i < 8; ++i) state ^= tables[7 - i][(word >> (8 * i)) & 0xff];
  }
  for (const std::byte byte : bytes) {
    state = (state >> 8) ^ tables[0][(state ^ std::to_integer<std::uint32_t>(byte)) & 0xff];
  }
  return state;
}

#if defined(__x86_64__)
namespace {

__attribute__((target("sse4.2"))) std::uint32_t update_by_instruction(
    std::uint32_t state, std::span<const std::byte> bytes) {
  std::uint64_t wide = state;
  for (; bytes.size() >= 8; bytes = bytes.subspan(8)) {
    wide = _mm_crc32_u64(wide, load_little_endian<std::uint64_t>(bytes, 0));
  }
  state = static_cast<std::uint32_t>(wide);
  for (const std::byte byte : bytes) {
    state = _mm_crc32_u8(state, std::to_integer<std::uint8_t>(byte));
  }
  return state;
}

}  // namespace
#endif

std::uint32_t crc32c_update(std::uint32_t state, std::span<const std::byte> bytes) {
#if defined(__x86_64__)
  static const bool has_instruction = __builtin_cpu_supports("sse4.2") != 0;
  if (has_instruction) return update_by_instruction(state, bytes);
#endif
  return crc32c_update_by_table(state, bytes);
}

}  // namespace formats
