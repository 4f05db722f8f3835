#include "formats/bytes/blake2b.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>

#include "formats/bytes/little_endian.hpp"

namespace formats {
namespace {

constexpr std::size_t block_size = 128;

constexpr std::array<std::uint64_t, 8> initial{
    0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
    0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179};

// Which word of the block a step takes; rounds 10 and 11 are those of 0 and 1 again.
constexpr std::array<std::array<std::uint8_t, 16>, 10> schedule{{
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
    {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
    {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
    {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
    {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
}};

using State = std::array<std::uint64_t, 8>;
using Work = std::array<std::uint64_t, 16>;

void mix(Work& v, std::size_t a, std::size_t b, std::size_t c, std::size_t d, std::uint64_t x,
         std::uint64_t y) {
  v[a] += v[b] + x;
  v[d] = std::rotr(v[d] ^ v[a], 32);
  v[c] += v[d];
  v[b] = std::rotr(v[b] ^ v[c], 24);
  v[a] += v[b] + y;
  v[d] = std::rotr(v[d] ^ v[a], 16);
  v[c] += v[d];
  v[b] = std::rotr(v[b] ^ v[c], 63);
}

// `count`: of the bytes up to the end of this block, without what pads it.
void compress(State& state, std::span<const std::byte> block, std::uint64_t count, bool last) {
  Work words{};
  for (std::size_t i = 0; i < words.size(); ++i) {
    words[i] = load_little_endian<std::uint64_t>(block, 8 * i);
  }
  Work v{};
  std::copy(state.begin(), state.end(), v.begin());
  std::copy(initial.begin(), initial.end(), v.begin() + state.size());
  v[12] ^= count;
  if (last) v[14] = ~v[14];
  for (std::size_t round = 0; round < 12; ++round) {
    const auto& s = schedule[round % schedule.size()];
    const auto x = [&](std::size_t i) { return words[s[i]]; };
    mix(v, 0, 4, 8, 12, x(0), x(1));
    mix(v, 1, 5, 9, 13, x(2), x(3));
    mix(v, 2, 6, 10, 14, x(4), x(5));
    mix(v, 3, 7, 11, 15, x(6), x(7));
    mix(v, 0, 5, 10, 15, x(8), x(9));
    mix(v, 1, 6, 11, 12, x(10), x(11));
    mix(v, 2, 7, 8, 13, x(12), x(13));
    mix(v, 3, 4, 9, 14, x(14), x(15));
  }
  for (std::size_t i = 0; i < state.size(); ++i) state[i] ^= v[i] ^ v[i + 8];
}

}  // namespace

std::array<std::byte, 32> blake2b_256(std::span<const std::byte> bytes) {
  constexpr std::uint64_t parameters = 0x01010000 | 32;  // one leaf, no key, 32 bytes come out
  State state = initial;
  state[0] ^= parameters;
  std::uint64_t count = 0;
  for (; bytes.size() > block_size; bytes = bytes.subspan(block_size)) {
    count += block_size;
    compress(state, bytes.first(block_size), count, false);
  }
  std::array<std::byte, block_size> rest{};
  std::copy(bytes.begin(), bytes.end(), rest.begin());
  compress(state, rest, count + bytes.size(), true);
  std::array<std::byte, 32> digest{};
  for (std::size_t i = 0; i < 4; ++i) store_little_endian(std::span(digest), 8 * i, state[i]);
  return digest;
}

}  // namespace formats
