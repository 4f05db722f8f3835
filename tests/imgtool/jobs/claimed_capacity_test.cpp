#include "imgtool/jobs/claimed_capacity.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace imgtool {
namespace {

using io::ByteRange;
using io::MiB;

// A ledger of `count` chunks of a MiB, each of them data.
io::ChunkLedger ledger_of_data(std::uint64_t count) {
  io::ChunkLedger ledger(MiB);
  for (std::uint64_t chunk = 0; chunk < count; ++chunk) {
    const std::vector<std::byte> content(16, static_cast<std::byte>(chunk + 1));
    ledger.record(chunk, content);
  }
  return ledger;
}

std::vector<ByteRange> mib_chunks(std::uint64_t from, std::uint64_t to) {
  std::vector<ByteRange> all;
  for (std::uint64_t chunk = from; chunk < to; ++chunk) all.push_back({chunk * MiB, MiB});
  return all;
}

TEST(SizeByAliases, IsTheShortestShiftThatExplainsTheOthers) {
  EXPECT_EQ(size_by_aliases({{0, 96 * MiB}, {5 * MiB, 69 * MiB}, {40 * MiB, 72 * MiB}}, 3),
            32 * MiB);
}

TEST(SizeByAliases, ACoincidenceAmongManyBadChunksProvesNothing) {
  EXPECT_EQ(size_by_aliases({{0, 96 * MiB}}, 10), std::nullopt);
  EXPECT_EQ(size_by_aliases({}, 10), std::nullopt);
}

TEST(SizeByAliases, WhatCameEarlierReplacesNothing) {
  EXPECT_EQ(size_by_aliases({{96 * MiB, 0}}, 1), std::nullopt);
}

TEST(SizeByPattern, AllDataFromSomeOffsetOnIsLost) {
  const auto ledger = ledger_of_data(40);
  EXPECT_EQ(size_by_pattern(ledger, {0, 40 * MiB}, mib_chunks(16, 40)), 16 * MiB);
}

TEST(SizeByPattern, AllDataUpToSomeOffsetIsReplaced) {
  const auto ledger = ledger_of_data(40);
  EXPECT_EQ(size_by_pattern(ledger, {0, 40 * MiB}, mib_chunks(0, 24)), 16 * MiB);
}

TEST(SizeByPattern, ZerosThatReadWellProveNothing) {
  auto ledger = ledger_of_data(40);
  ledger.record_zeros({20 * MiB, 4 * MiB});
  auto bad = mib_chunks(16, 20);
  const auto rest = mib_chunks(24, 40);
  bad.insert(bad.end(), rest.begin(), rest.end());
  EXPECT_EQ(size_by_pattern(ledger, {0, 40 * MiB}, bad), 16 * MiB);
}

TEST(SizeByPattern, AGoodChunkBehindABadOneIsDamage) {
  const auto ledger = ledger_of_data(40);
  EXPECT_EQ(size_by_pattern(ledger, {0, 40 * MiB}, mib_chunks(16, 39)), std::nullopt);
  EXPECT_EQ(size_by_pattern(ledger, {0, 40 * MiB}, mib_chunks(0, 5)), std::nullopt);
  EXPECT_EQ(size_by_pattern(ledger, {0, 40 * MiB}, mib_chunks(38, 40)), std::nullopt);
}

TEST(UsualRealSizes, ArePowersOfTwoAndHalves) {
  EXPECT_THAT(usual_real_sizes(100 * MiB),
              testing::ElementsAre(16 * MiB, 25 * MiB, 32 * MiB, 50 * MiB, 64 * MiB));
  EXPECT_THAT(usual_real_sizes(MiB), testing::IsEmpty());
}

}  // namespace
}  // namespace imgtool
