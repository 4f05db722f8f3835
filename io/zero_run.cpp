#include "io/zero_run.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace io {
namespace {

using Bytes = std::span<const std::byte>;

// Every scanner strides over blocks of zeros; this finds the exact byte in what is left.
std::size_t finish(Bytes bytes, std::size_t position) noexcept {
  for (; bytes.size() - position >= sizeof(std::uint64_t); position += sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + position, sizeof word);
    if (word == 0) continue;
    const bool little = std::endian::native == std::endian::little;
    const int bits = little ? std::countr_zero(word) : std::countl_zero(word);
    return position + static_cast<std::size_t>(bits) / 8;
  }
  while (position < bytes.size() && bytes[position] == std::byte{0}) ++position;
  return position;
}

std::size_t zero_prefix_words(Bytes bytes) noexcept {
  constexpr std::size_t words = 8;
  constexpr std::size_t block = words * sizeof(std::uint64_t);
  std::size_t position = 0;
  for (; bytes.size() - position >= block; position += block) {
    std::array<std::uint64_t, words> w;
    std::memcpy(w.data(), bytes.data() + position, block);
    if ((w[0] | w[1] | w[2] | w[3] | w[4] | w[5] | w[6] | w[7]) != 0) break;
  }
  return finish(bytes, position);
}

#if defined(__x86_64__)
std::size_t zero_prefix_sse2(Bytes bytes) noexcept {
  constexpr std::size_t block = 4 * sizeof(__m128i);
  std::size_t position = 0;
  for (; bytes.size() - position >= block; position += block) {
    const auto* in = reinterpret_cast<const __m128i*>(bytes.data() + position);
    const __m128i low = _mm_or_si128(_mm_loadu_si128(in), _mm_loadu_si128(in + 1));
    const __m128i high = _mm_or_si128(_mm_loadu_si128(in + 2), _mm_loadu_si128(in + 3));
    const __m128i equal = _mm_cmpeq_epi8(_mm_or_si128(low, high), _mm_setzero_si128());
    if (_mm_movemask_epi8(equal) != 0xFFFF) break;
  }
  return finish(bytes, position);
}

__attribute__((target("avx2"))) std::size_t zero_prefix_avx2(Bytes bytes) noexcept {
  constexpr std::size_t block = 4 * sizeof(__m256i);
  std::size_t position = 0;
  for (; bytes.size() - position >= block; position += block) {
    const auto* in = reinterpret_cast<const __m256i*>(bytes.data() + position);
    const __m256i low = _mm256_or_si256(_mm256_loadu_si256(in), _mm256_loadu_si256(in + 1));
    const __m256i high = _mm256_or_si256(_mm256_loadu_si256(in + 2), _mm256_loadu_si256(in + 3));
    const __m256i all = _mm256_or_si256(low, high);
    if (_mm256_testz_si256(all, all) == 0) break;
  }
  return finish(bytes, position);
}
#endif

}  // namespace

std::span<const ZeroScanner> zero_scanners() noexcept {
#if defined(__x86_64__)
  static constexpr std::array<ZeroScanner, 3> all = {
      {{"avx2", zero_prefix_avx2}, {"sse2", zero_prefix_sse2}, {"words", zero_prefix_words}}};
  __builtin_cpu_init();
  return std::span(all).subspan(__builtin_cpu_supports("avx2") != 0 ? 0 : 1);
#else
  static constexpr std::array<ZeroScanner, 1> all = {{{"words", zero_prefix_words}}};
  return all;
#endif
}

std::size_t zero_prefix(Bytes bytes) noexcept {
  static const auto best = zero_scanners().front().zero_prefix;
  return best(bytes);
}

ZeroRuns::ZeroRuns(Bytes bytes, std::size_t grain) noexcept : bytes_(bytes), grain_(grain) {
  assert(std::has_single_bit(grain));
  assert(grain >= 512);
}

ZeroRuns::Iterator ZeroRuns::begin() const noexcept { return Iterator(*this); }

// Where the zero grains that start at `begin` (a grain's start) end; `begin` if there are none.
std::size_t ZeroRuns::Iterator::zeros_end(std::size_t begin) const noexcept {
  const std::size_t end = begin + zero_prefix(runs_.bytes_.subspan(begin));
  return end == runs_.bytes_.size() ? end : end & ~(runs_.grain_ - 1);
}

ZeroRuns::Iterator& ZeroRuns::Iterator::operator++() noexcept {
  const std::size_t size = runs_.bytes_.size();
  const std::size_t begin = run_.offset + run_.length;
  std::size_t end = begin;
  while (seen_zeros_end_ <= end && end < size) {
    seen_zeros_end_ = zeros_end(end);
    if (seen_zeros_end_ == end) end += std::min(runs_.grain_, size - end);
  }
  const bool zero = end == begin && seen_zeros_end_ > begin;
  run_ = {begin, (zero ? seen_zeros_end_ : end) - begin, zero};
  return *this;
}

}  // namespace io
