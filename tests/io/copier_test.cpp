#include "io/copier.hpp"

#include <algorithm>
#include <cerrno>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/io/engines.hpp"
#include "tests/io/pattern_source.hpp"
#include "tests/io/recording_observer.hpp"
#include "tests/io/recording_target.hpp"

namespace io {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::UnorderedElementsAre;
using Ranges = std::vector<ByteRange>;
using What = Done::What;

constexpr std::uint64_t chunk = 64 * KiB;

class CopierTest : public EngineTest {
 protected:
  CopierTest() { options_.chunk_size = chunk; }

  RecordingTarget& add_target(std::uint64_t capacity) {
    const std::string name = "target " + std::to_string(targets_.size());
    targets_.push_back(std::make_unique<RecordingTarget>(ring(), capacity, name));
    CopyTarget copy;
    copy.target = targets_.back().get();
    copy.index = targets_.size() - 1;
    copies_.push_back(std::move(copy));
    return *targets_.back();
  }
  std::unique_ptr<Copier> copier(Source& source) {
    return std::make_unique<Copier>(ring(), source, copies_, options_, observer_, stop_);
  }
  void copy(PatternSource& source) { copier(source)->run({{0, source.content().size()}}); }

  CopyOptions options_;
  StopFlag stop_{0};
  RecordingObserver observer_;
  std::vector<std::unique_ptr<RecordingTarget>> targets_;
  std::vector<CopyTarget> copies_;
};
INSTANTIATE_TEST_SUITE_P(Engines, CopierTest, engines_here(), engine_name);

TEST_P(CopierTest, EverySizeThatHurts) {
  for (const std::uint64_t size :
       {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{511}, std::uint64_t{512},
        std::uint64_t{4095}, chunk - 1, chunk, chunk + 1, 40 * chunk, 40 * chunk + 513}) {
    copies_.clear();
    targets_.clear();
    PatternSource source(ring(), size);
    RecordingTarget& target = add_target(size);
    copy(source);
    EXPECT_TRUE(copies_[0].live());
    EXPECT_EQ(target.content(), source.content()) << size;
    EXPECT_EQ(copies_[0].data_bytes, size);
    EXPECT_EQ(target.log().size(), (size + chunk - 1) / chunk) << "one write a chunk";
  }
}

TEST_P(CopierTest, HolesAreNotRead) {
  PatternSource source(ring(), {{{0, 2 * chunk}, ExtentKind::data},
                                {{2 * chunk, 5 * chunk}, ExtentKind::hole},
                                {{7 * chunk, 3 * chunk}, ExtentKind::zero},
                                {{10 * chunk, 100}, ExtentKind::data}});
  RecordingTarget& target = add_target(10 * chunk + 100);
  copy(source);
  EXPECT_EQ(source.sorted_reads(), (Ranges{{0, chunk}, {chunk, chunk}, {10 * chunk, 100}}));
  EXPECT_EQ(target.sorted_log(), (std::vector<Done>{{What::write, {0, chunk}},
                                                    {What::write, {chunk, chunk}},
                                                    {What::zero, {2 * chunk, 8 * chunk}},
                                                    {What::write, {10 * chunk, 100}}}));
  EXPECT_EQ(target.content(), source.content());
  EXPECT_EQ(copies_[0].data_bytes, 2 * chunk + 100);
  EXPECT_EQ(copies_[0].zero_bytes, 8 * chunk);
}

TEST_P(CopierTest, ZeroRunsBecomeZeroRequests) {
  PatternSource source(ring(), 3 * chunk);
  source.store_zeros({8192, 16'384});
  source.store_zeros({chunk + 100, 4096});  // holds no whole grain
  source.store_zeros({2 * chunk, chunk});
  RecordingTarget& target = add_target(3 * chunk);
  target.set_zero_grain(4096);
  copy(source);
  EXPECT_EQ(target.sorted_log(), (std::vector<Done>{{What::write, {0, 8192}},
                                                    {What::zero, {8192, 16'384}},
                                                    {What::write, {24'576, chunk - 24'576}},
                                                    {What::write, {chunk, chunk}},
                                                    {What::zero, {2 * chunk, chunk}}}));
  EXPECT_EQ(target.content(), source.content());
}

TEST_P(CopierTest, EachTargetHasItsOwnGrain) {
  PatternSource source(ring(), chunk);
  source.store_zeros({8192, 8192});
  RecordingTarget& fine = add_target(chunk);
  RecordingTarget& coarse = add_target(chunk);
  fine.set_zero_grain(4096);
  coarse.set_zero_grain(chunk);
  copy(source);
  EXPECT_EQ(fine.log().size(), 3U);
  EXPECT_EQ(coarse.log(), (std::vector<Done>{{What::write, {0, chunk}}}));
  EXPECT_EQ(source.reads().size(), 1U) << "read once for both";
}

TEST_P(CopierTest, SkippedIsNeitherReadNorTouched) {
  PatternSource source(ring(), {{{0, chunk}, ExtentKind::data},
                                {{chunk, 3 * chunk}, ExtentKind::skip},
                                {{4 * chunk, chunk}, ExtentKind::data}});
  RecordingTarget& target = add_target(5 * chunk);
  copy(source);
  EXPECT_EQ(source.sorted_reads(), (Ranges{{0, chunk}, {4 * chunk, chunk}}));
  EXPECT_EQ(target.sorted_log().size(), 2U);
  EXPECT_EQ(target.content()[chunk], std::byte{0xee});
  EXPECT_EQ(observer_.bytes(Phase::write, 0), 5 * chunk);
}

TEST_P(CopierTest, OnlyWhatIsToDoIsTouched) {
  PatternSource source(ring(), 10 * chunk);
  RecordingTarget& target = add_target(10 * chunk);
  copier(source)->run({{chunk, chunk}, {5 * chunk, chunk + 100}});
  EXPECT_EQ(target.sorted_log(), (std::vector<Done>{{What::write, {chunk, chunk}},
                                                    {What::write, {5 * chunk, chunk}},
                                                    {What::write, {6 * chunk, 100}}}));
  EXPECT_EQ(observer_.total(Phase::write, 0), 2 * chunk + 100);
}

TEST_P(CopierTest, StopsHandingOutChunksAfterTheFirstSourceError) {
  PatternSource source(ring(), 500 * chunk);
  source.fail_at({20 * chunk + 5, 1});
  RecordingTarget& target = add_target(500 * chunk);
  options_.lanes = 4;
  try {
    copy(source);
    ADD_FAILURE() << "did not throw";
  } catch (const Error& error) {
    EXPECT_EQ(error.error_number(), EIO);
    EXPECT_EQ(error.range(), (ByteRange{20 * chunk, chunk}));
  }
  // The lanes had at most a few chunks more under way, and wrote what they had read.
  EXPECT_LE(source.reads().size(), 20U + 4 * 3);
  EXPECT_EQ(target.log().size(), source.reads().size() - 1);
  EXPECT_TRUE(target.was_abandoned());
  EXPECT_TRUE(copies_[0].live()) << "it is the source's error";
}

// Any kind of exception, not only Error, lets go of lanes that wait for a turn.
TEST_P(CopierTest, AnExceptionOfAnotherKindEndsTheCopyToo) {
  class Broken final : public PatternSource {
   public:
    using PatternSource::PatternSource;
    Task<std::size_t> read(ByteRange range, Buffer buffer) override {
      const std::size_t count = co_await PatternSource::read(range, buffer);
      if (range.offset == 3 * chunk) throw std::bad_alloc();
      co_return count;
    }
  } source(ring(), 300 * chunk);
  RecordingTarget& target = add_target(300 * chunk);
  WorkerPool worker(1);
  ContentDigest digest(ring(), worker, DigestAlgorithm::xxh3);
  const auto job = copier(source);
  job->hash_content(&digest);
  EXPECT_THROW(job->run({{0, 300 * chunk}}), std::bad_alloc);
  EXPECT_TRUE(target.was_abandoned());
  EXPECT_LT(source.reads().size(), 100U);
}

TEST_P(CopierTest, AFailingTargetDropsOutAndTheOthersFinish) {
  PatternSource source(ring(), 50 * chunk);
  RecordingTarget& first = add_target(50 * chunk);
  RecordingTarget& failing = add_target(50 * chunk);
  RecordingTarget& last = add_target(50 * chunk);
  failing.fail_at(10 * chunk + 7, ENOSPC);
  options_.lanes = 4;
  const auto job = copier(source);
  job->run({{0, 50 * chunk}});
  job->flush();
  EXPECT_EQ(first.content(), source.content());
  EXPECT_EQ(last.content(), source.content());
  EXPECT_EQ(source.reads().size(), 50U);
  ASSERT_TRUE(copies_[1].error.has_value());
  EXPECT_EQ(copies_[1].error->error_number(), ENOSPC);
  EXPECT_EQ(copies_[1].error->path(), "target 1");
  EXPECT_LE(failing.log().size(), 10U + 4);
  EXPECT_THAT(observer_.events(),
              UnorderedElementsAre("begin write 0", "begin write 1", "begin write 2", "failed 1",
                                   "end write 0", "end write 2", "begin flush 0", "begin flush 2",
                                   "end flush 0", "end flush 2"));
}

TEST_P(CopierTest, WithoutAnyTargetLeftTheSourceIsNotReadOn) {
  PatternSource source(ring(), 200 * chunk);
  add_target(200 * chunk).fail_at(3 * chunk);
  add_target(200 * chunk).fail_at(5 * chunk);
  options_.lanes = 4;
  copy(source);
  EXPECT_FALSE(copies_[0].live());
  EXPECT_FALSE(copies_[1].live());
  EXPECT_LE(source.reads().size(), 20U);
}

TEST_P(CopierTest, ATargetThatIsTooSmallFailsWhereItEnds) {
  PatternSource source(ring(), 10 * chunk);
  RecordingTarget& small = add_target(4 * chunk + 100);
  copy(source);
  ASSERT_FALSE(copies_[0].live());
  EXPECT_EQ(copies_[0].error->error_number(), ENOSPC);
  for (const Done& done : small.log()) EXPECT_LE(done.range.end(), small.capacity());
}

// The slow one needs 15 ms a chunk, 3 s in all; after 2 s the other no longer waits for it.
TEST_P(CopierTest, ALaggardMovesToItsOwnPass) {
  PatternSource source(ring(), 200 * chunk);
  RecordingTarget& quick = add_target(200 * chunk);
  RecordingTarget& slow = add_target(200 * chunk);
  slow.take(milliseconds(15));
  options_.lanes = 4;
  copy(source);
  EXPECT_TRUE(copies_[0].live());
  EXPECT_TRUE(copies_[1].live());
  EXPECT_EQ(quick.content(), source.content());
  EXPECT_EQ(slow.content(), source.content());
  EXPECT_EQ(quick.log().size(), 200U);
  EXPECT_EQ(slow.log().size(), 200U) << "no chunk was lost or written twice";
  EXPECT_GT(source.reads().size(), 210U) << "what was left was read again for the straggler";
  EXPECT_LT(source.reads().size(), 400U) << "but only what was left";
  EXPECT_EQ(observer_.bytes(Phase::write, 0), 200 * chunk);
  EXPECT_EQ(observer_.bytes(Phase::write, 1), 200 * chunk);
}

TEST_P(CopierTest, ALaggardThatFailsInItsOwnPassIsNotReadForAnyMore) {
  PatternSource source(ring(), 300 * chunk);
  RecordingTarget& quick = add_target(300 * chunk);
  RecordingTarget& slow = add_target(300 * chunk);
  slow.take(milliseconds(15));
  slow.fail_at(180 * chunk);
  options_.lanes = 4;
  copy(source);
  EXPECT_EQ(quick.content(), source.content());
  EXPECT_FALSE(copies_[1].live());
  const auto behind =
      std::count_if(source.reads().begin(), source.reads().end(),
                    [](const ByteRange& read) { return read.offset >= 200 * chunk; });
  EXPECT_EQ(behind, 100) << "read for the quick one only";
}

TEST_P(CopierTest, AStreamEndsWhereItEnds) {
  for (const std::uint64_t size : {std::uint64_t{0}, std::uint64_t{1}, chunk - 1, chunk, chunk + 1,
                                   5 * chunk, 7 * chunk + 12'345}) {
    copies_.clear();
    targets_.clear();
    PatternSource source(ring(), size);
    source.be_a_stream();
    RecordingTarget& target = add_target(100 * chunk);
    options_.lanes = 4;
    const auto job = copier(source);
    job->run({{0, std::uint64_t{1} << 62}});
    EXPECT_EQ(job->stream_end(), size);
    std::uint64_t end = 0;
    for (const Done& done : target.sorted_log()) {
      EXPECT_EQ(done.range.offset, end) << "without gaps";
      end = done.range.end();
    }
    EXPECT_EQ(end, size);
    EXPECT_FALSE(observer_.total(Phase::write, 0).has_value());
    EXPECT_TRUE(
        std::equal(source.content().begin(), source.content().end(), target.content().begin()));
  }
}

TEST_P(CopierTest, StopFlagEndsEarly) {
  class Stopping final : public PatternSource {
   public:
    Stopping(Ring& ring, std::uint64_t size, StopFlag& stop)
        : PatternSource(ring, size), stop_(stop) {}
    Task<std::size_t> read(ByteRange range, Buffer buffer) override {
      if (reads().size() == 9) stop_ = 1;
      return PatternSource::read(range, buffer);
    }

   private:
    StopFlag& stop_;
  } source(ring(), 500 * chunk, stop_);
  RecordingTarget& target = add_target(500 * chunk);
  options_.lanes = 4;
  copy(source);
  EXPECT_EQ(source.reads().size(), 10U) << "no chunk was handed out after the flag";
  EXPECT_EQ(target.log().size(), 10U) << "and those under way ended";
  EXPECT_TRUE(copies_[0].live());
}

TEST_P(CopierTest, TheJournalIsSavedOnlyAfterAFlush) {
  PatternSource source(ring(), 8 * chunk);
  RecordingTarget& target = add_target(8 * chunk);
  Journal journal(8 * chunk);
  std::vector<std::uint64_t> saved;
  copies_[0].journal = &journal;
  copies_[0].save_journal = [&](Journal& state) {
    EXPECT_EQ(target.log().back().what, What::flush) << "saved before a flush";
    saved.push_back(state.states().total(BlockState::done));
  };
  const auto job = copier(source);
  job->run({{0, 8 * chunk}});
  EXPECT_TRUE(saved.empty());
  EXPECT_TRUE(journal.untried().empty());
  EXPECT_EQ(journal.states().total(BlockState::done), 0U);
  job->flush();
  EXPECT_THAT(saved, ElementsAre(8 * chunk));
}

TEST_P(CopierTest, AFailedFlushPromisesNothing) {
  PatternSource source(ring(), 8 * chunk);
  RecordingTarget& target = add_target(8 * chunk);
  Journal journal(8 * chunk);
  std::vector<std::uint64_t> saved;
  copies_[0].journal = &journal;
  copies_[0].save_journal = [&](Journal& state) {
    saved.push_back(state.states().total(BlockState::done));
  };
  target.fail_flush();
  const auto job = copier(source);
  job->run({{0, 8 * chunk}});
  job->flush();
  EXPECT_FALSE(copies_[0].live());
  EXPECT_THAT(saved, ElementsAre(0U));
  EXPECT_THAT(observer_.events(),
              ElementsAre("begin write 0", "end write 0", "begin flush 0", "failed 0"));
}

TEST_P(CopierTest, WhatFailedIsNotInTheJournal) {
  PatternSource source(ring(), 8 * chunk);
  RecordingTarget& failing = add_target(8 * chunk);
  add_target(8 * chunk);
  Journal journal(8 * chunk);
  copies_[0].journal = &journal;
  copies_[0].save_journal = [](Journal&) {};
  options_.lanes = 1;
  failing.fail_at(2 * chunk);
  const auto job = copier(source);
  job->run({{0, 8 * chunk}});
  const auto left = journal.untried();
  ASSERT_FALSE(left.empty());
  EXPECT_EQ(left.front().offset, 2 * chunk);
}

TEST_P(CopierTest, DigestsAreKeptForTheVerifier) {
  PatternSource source(ring(), {{{0, 2 * chunk}, ExtentKind::data},
                                {{2 * chunk, 2 * chunk}, ExtentKind::hole},
                                {{4 * chunk, chunk}, ExtentKind::skip},
                                {{5 * chunk, 100}, ExtentKind::data}});
  add_target(5 * chunk + 100);
  ChunkLedger ledger(chunk);
  const auto job = copier(source);
  job->keep_digests(&ledger);
  job->run({{0, 5 * chunk + 100}});
  using State = ChunkLedger::State;
  const State expected[] = {State::digest, State::digest,  State::zeros,
                            State::zeros,  State::unknown, State::digest};
  for (std::uint64_t index = 0; index < 6; ++index) {
    EXPECT_EQ(ledger.state(index), expected[index]) << index;
  }
  const std::span<const std::byte> content = source.content();
  EXPECT_TRUE(ledger.matches(1, content.subspan(chunk, chunk)));
  EXPECT_TRUE(ledger.matches(5, content.subspan(5 * chunk)));
}

TEST_P(CopierTest, WithoutTargetsTheSourceIsReadForItsDigest) {
  PatternSource source(ring(), {{{0, 3 * chunk}, ExtentKind::data},
                                {{3 * chunk, 4 * chunk}, ExtentKind::hole},
                                {{7 * chunk, 1000}, ExtentKind::data}});
  WorkerPool worker(1);
  ContentDigest digest(ring(), worker, DigestAlgorithm::sha256);
  const auto job = copier(source);
  job->hash_content(&digest);
  job->run({{0, 7 * chunk + 1000}});
  Digest expected(DigestAlgorithm::sha256);
  expected.update(source.content());
  EXPECT_EQ(digest.hex(), expected.hex());
  EXPECT_THAT(observer_.events(), ElementsAre("begin read 0", "end read 0"));
  EXPECT_EQ(observer_.bytes(Phase::read, 0), 7 * chunk + 1000);
}

TEST_P(CopierTest, ARateIsKept) {
  PatternSource source(ring(), 10 * chunk);
  add_target(10 * chunk);
  options_.bytes_per_second = 40 * chunk;
  const auto start = Ring::Clock::now();
  copy(source);
  EXPECT_GE(Ring::Clock::now() - start, milliseconds(225));
}

}  // namespace
}  // namespace io
