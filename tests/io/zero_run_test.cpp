#include "io/zero_run.hpp"

#include <iterator>
#include <random>
#include <ranges>
#include <vector>

#include <gtest/gtest.h>

namespace io {
namespace {

using Buffer = std::vector<std::byte>;
using Runs = std::vector<Run>;  // inside a TEST, Run is a member of testing::Test

static_assert(std::ranges::input_range<ZeroRuns>);

constexpr std::byte one{1};

Runs runs_of(const Buffer& buffer, std::size_t grain) {
  Runs runs;
  for (const Run& run : zero_runs(buffer, grain)) runs.push_back(run);
  return runs;
}

// The definition, byte by byte.
Runs expected_runs(const Buffer& buffer, std::size_t grain) {
  Runs runs;
  for (std::size_t begin = 0; begin < buffer.size(); begin += grain) {
    const std::size_t length = std::min(grain, buffer.size() - begin);
    bool zero = true;
    for (std::size_t i = begin; i < begin + length; ++i) zero = zero && buffer[i] == std::byte{0};
    if (!runs.empty() && runs.back().zero == zero) {
      runs.back().length += length;
    } else {
      runs.push_back({begin, length, zero});
    }
  }
  return runs;
}

TEST(ZeroPrefix, EveryScannerFindsTheFirstByteOfDataAtAnyAlignment) {
  constexpr std::size_t size = 700;
  Buffer buffer(size + 64);
  for (const ZeroScanner& scanner : zero_scanners()) {
    for (std::size_t shift : {0U, 1U, 7U, 31U}) {
      for (std::size_t length = 0; length <= size; length += 1 + length / 40) {
        const auto bytes = std::span(buffer).subspan(shift, length);
        buffer[shift + length] = one;  // just beyond the end: must not count
        EXPECT_EQ(scanner.zero_prefix(bytes), length) << scanner.name;
        for (std::size_t at = 0; at < length; ++at) {
          bytes[at] = std::byte{0x80};
          ASSERT_EQ(scanner.zero_prefix(bytes), at) << scanner.name << ' ' << length;
          bytes[at] = std::byte{0};
        }
        buffer[shift + length] = std::byte{0};
      }
    }
  }
}

TEST(IsZero, EmptyIsZeroAndOneBitIsNot) {
  EXPECT_TRUE(is_zero({}));
  Buffer buffer(4096);
  EXPECT_TRUE(is_zero(buffer));
  buffer.back() = one;
  EXPECT_FALSE(is_zero(buffer));
}

TEST(ZeroRuns, EmptyBufferHasNoRuns) { EXPECT_TRUE(runs_of({}, 512).empty()); }

TEST(ZeroRuns, WholeBufferOfOneKindIsOneRun) {
  EXPECT_EQ(runs_of(Buffer(8192), 512), (Runs{{0, 8192, true}}));
  EXPECT_EQ(runs_of(Buffer(8192, one), 512), (Runs{{0, 8192, false}}));
}

TEST(ZeroRuns, ZerosThatDoNotFillAGrainAreData) {
  Buffer buffer(4096, one);
  std::fill(buffer.begin() + 100, buffer.begin() + 1023, std::byte{0});  // grain [512,1024) - 1
  EXPECT_EQ(runs_of(buffer, 512), (Runs{{0, 4096, false}}));
  buffer[1023] = std::byte{0};
  EXPECT_EQ(runs_of(buffer, 512), (Runs{{0, 512, false}, {512, 512, true}, {1024, 3072, false}}));
}

TEST(ZeroRuns, LastPartialGrainCountsWhenAllZero) {
  Buffer buffer(1024 + 100);
  buffer[5] = one;
  EXPECT_EQ(runs_of(buffer, 512), (Runs{{0, 512, false}, {512, 612, true}}));
  buffer.back() = one;
  EXPECT_EQ(runs_of(buffer, 512), (Runs{{0, 512, false}, {512, 512, true}, {1024, 100, false}}));
  EXPECT_EQ(runs_of(Buffer(3), 4096), (Runs{{0, 3, true}}));
}

TEST(ZeroRuns, AgreesWithTheDefinitionOnRandomBuffers) {
  std::mt19937 random(1);
  for (int round = 0; round < 500; ++round) {
    Buffer buffer(random() % 40000);
    for (std::size_t i = random() % 3000; i < buffer.size(); i += 1 + random() % 6000) {
      const std::size_t length = std::min<std::size_t>(random() % 2000, buffer.size() - i);
      std::fill_n(buffer.begin() + static_cast<std::ptrdiff_t>(i), length, one);
    }
    for (std::size_t grain : {512U, 1024U, 4096U, 65536U}) {
      ASSERT_EQ(runs_of(buffer, grain), expected_runs(buffer, grain)) << round << ' ' << grain;
    }
  }
}

}  // namespace
}  // namespace io
