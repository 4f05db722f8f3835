#include "io/chunk_ledger.hpp"

#include <gtest/gtest.h>

#include "tests/io/pattern.hpp"

namespace io {
namespace {

using State = ChunkLedger::State;

TEST(ChunkLedger, KnowsNothingAtFirst) {
  const ChunkLedger ledger(4096);
  EXPECT_EQ(ledger.state(0), State::unknown);
  EXPECT_EQ(ledger.state(1'000'000), State::unknown);
  EXPECT_EQ(ledger.index_of(4095), 0U);
  EXPECT_EQ(ledger.index_of(4096), 1U);
}

TEST(ChunkLedger, RemembersContentInAnyOrder) {
  ChunkLedger ledger(4096);
  const auto third = pattern({3 * 4096, 4096});
  const auto first = pattern({4096, 4096});
  ledger.record(3, third);
  ledger.record(1, first);
  EXPECT_EQ(ledger.state(2), State::unknown);
  EXPECT_EQ(ledger.state(3), State::digest);
  EXPECT_TRUE(ledger.matches(3, third));
  EXPECT_TRUE(ledger.matches(1, first));
  EXPECT_FALSE(ledger.matches(1, third));
}

TEST(ChunkLedger, OneBitIsEnoughToDiffer) {
  ChunkLedger ledger(4096);
  auto content = pattern({0, 4096});
  ledger.record(0, content);
  for (const std::size_t at : {0U, 2048U, 4095U}) {
    content[at] ^= std::byte{1};
    EXPECT_FALSE(ledger.matches(0, content)) << at;
    content[at] ^= std::byte{1};
  }
  EXPECT_TRUE(ledger.matches(0, content));
}

TEST(ChunkLedger, ContentOfZerosIsZerosWhateverItsLength) {
  ChunkLedger ledger(4096);
  const std::vector<std::byte> zeros(4096);
  ledger.record(0, zeros);
  EXPECT_EQ(ledger.state(0), State::zeros);
  EXPECT_TRUE(ledger.matches(0, zeros));
  EXPECT_FALSE(ledger.matches(0, pattern({0, 4096})));
  ledger.record(1, std::span(zeros).first(1));
  EXPECT_EQ(ledger.state(1), State::zeros);
}

TEST(ChunkLedger, DataThatTurnedIntoZerosDiffers) {
  ChunkLedger ledger(4096);
  ledger.record(0, pattern({0, 4096}));
  EXPECT_FALSE(ledger.matches(0, std::vector<std::byte>(4096)));
}

TEST(ChunkLedger, ZerosCoverEveryChunkThatBeginsInTheRange) {
  ChunkLedger ledger(100);
  ledger.record_zeros({200, 250});
  EXPECT_EQ(ledger.state(1), State::unknown);
  EXPECT_EQ(ledger.state(2), State::zeros);
  EXPECT_EQ(ledger.state(3), State::zeros);
  EXPECT_EQ(ledger.state(4), State::zeros);
  EXPECT_EQ(ledger.state(5), State::unknown);
  ledger.record_zeros({500, 0});
  EXPECT_EQ(ledger.state(5), State::unknown);
}

TEST(ChunkLedger, TheLastRecordCounts) {
  ChunkLedger ledger(100);
  ledger.record_zeros({0, 300});
  const auto content = pattern({100, 100});
  ledger.record(1, content);
  EXPECT_TRUE(ledger.matches(1, content));
  EXPECT_EQ(ledger.state(0), State::zeros);
}

}  // namespace
}  // namespace io
