#include "io/verifier.hpp"

#include <algorithm>
#include <cerrno>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/io/engines.hpp"
#include "tests/io/pattern_source.hpp"
#include "tests/io/recording_observer.hpp"

namespace io {
namespace {

using testing::ElementsAre;
using Ranges = std::vector<ByteRange>;

constexpr std::uint64_t verified_chunk = 16 * KiB;
constexpr std::uint64_t medium_size = 20 * verified_chunk + 1000;

class VerifierTest : public EngineTest {
 protected:
  // A medium that holds what `image` does.
  PatternSource& add_medium(const PatternSource& image) {
    sources_.push_back(std::make_unique<PatternSource>(image));
    Medium medium;
    medium.source = sources_.back().get();
    medium.index = sources_.size() - 1;
    media_.push_back(std::move(medium));
    return *sources_.back();
  }
  void verify(Source* image, const Ranges& ranges = {{0, medium_size}}) {
    verifier_ = std::make_unique<Verifier>(ring(), ledger_, image, options_, observer_, stop_);
    verifier_->run(media_, ranges);
  }
  void learn_all_of(const PatternSource& image) {
    const std::span<const std::byte> content = image.content();
    for (std::uint64_t at = 0; at < content.size(); at += verified_chunk) {
      ledger_.record(at / verified_chunk,
                     content.subspan(at, std::min(verified_chunk, content.size() - at)));
    }
  }

  ChunkLedger ledger_{verified_chunk};
  VerifyOptions options_;
  RecordingObserver observer_;
  StopFlag stop_{0};
  std::vector<std::unique_ptr<PatternSource>> sources_;
  std::vector<Medium> media_;
  std::unique_ptr<Verifier> verifier_;
};
INSTANTIATE_TEST_SUITE_P(Engines, VerifierTest, engines_here(), engine_name);

TEST_P(VerifierTest, EqualMediaHaveNothingBad) {
  PatternSource image(ring(), medium_size);
  add_medium(image);
  verify(&image);
  EXPECT_TRUE(media_[0].bad_chunks.empty());
  EXPECT_FALSE(media_[0].read_error.has_value());
  EXPECT_EQ(observer_.total(Phase::verify, 0), medium_size);
  EXPECT_EQ(observer_.bytes(Phase::verify, 0), medium_size);
  EXPECT_THAT(observer_.events(), ElementsAre("begin verify 0", "end verify 0"));
}

TEST_P(VerifierTest, FindsExactRanges) {
  PatternSource image(ring(), medium_size);
  PatternSource& medium = add_medium(image);
  medium.corrupt(5 * verified_chunk + 7);
  medium.corrupt(5 * verified_chunk + 9);
  medium.corrupt(9 * verified_chunk - 1);  // a range that goes over a chunk's edge
  medium.corrupt(9 * verified_chunk);
  medium.corrupt(medium_size - 1);
  verify(&image);
  EXPECT_EQ(media_[0].bad_chunks, (Ranges{{5 * verified_chunk, verified_chunk},
                                          {8 * verified_chunk, verified_chunk},
                                          {9 * verified_chunk, verified_chunk},
                                          {20 * verified_chunk, 1000}}));
  EXPECT_EQ(
      verifier_->locate(media_[0], 100),
      (Ranges{{5 * verified_chunk + 7, 3}, {9 * verified_chunk - 1, 2}, {medium_size - 1, 1}}));
  EXPECT_EQ(verifier_->locate(media_[0], 1), (Ranges{{5 * verified_chunk + 7, 3}})) << "at most";
}

TEST_P(VerifierTest, ZerosThatAreNotZeroAreFound) {
  PatternSource image(ring(),
                      {{{0, 10 * verified_chunk}, ExtentKind::hole},
                       {{10 * verified_chunk, 10 * verified_chunk + 1000}, ExtentKind::data}});
  PatternSource& medium = add_medium(image);
  medium.be_data();
  medium.corrupt(3 * verified_chunk + 5);
  verify(&image);
  EXPECT_EQ(verifier_->locate(media_[0], 100), (Ranges{{3 * verified_chunk + 5, 1}}));
  EXPECT_EQ(image.sorted_reads().front().offset, 10 * verified_chunk)
      << "the image's holes are not read";
  EXPECT_EQ(medium.sorted_reads().front().offset, 0U) << "the medium's are";
}

TEST_P(VerifierTest, MediaShareOneReadOfTheImage) {
  PatternSource image(ring(), medium_size);
  for (int count = 0; count < 4; ++count) add_medium(image);
  sources_[2]->corrupt(100);
  verify(&image);
  EXPECT_EQ(image.reads().size(), 21U);
  for (const std::size_t good : {0U, 1U, 3U}) EXPECT_TRUE(media_[good].bad_chunks.empty());
  EXPECT_EQ(media_[2].bad_chunks, (Ranges{{0, verified_chunk}}));
}

TEST_P(VerifierTest, WhatTheWritePassKeptIsEnough) {
  PatternSource image(ring(), medium_size);
  PatternSource& medium = add_medium(image);
  medium.corrupt(2 * verified_chunk);
  learn_all_of(image);
  verify(nullptr);
  EXPECT_EQ(media_[0].bad_chunks, (Ranges{{2 * verified_chunk, verified_chunk}}));
  // Without the image it is unknown where in the chunk.
  EXPECT_EQ(verifier_->locate(media_[0], 100), (Ranges{{2 * verified_chunk, verified_chunk}}));
}

TEST_P(VerifierTest, SkippedIsNotCompared) {
  PatternSource image(ring(), {{{0, verified_chunk}, ExtentKind::data},
                               {{verified_chunk, 2 * verified_chunk}, ExtentKind::skip},
                               {{3 * verified_chunk, verified_chunk}, ExtentKind::data}});
  PatternSource& medium = add_medium(image);
  medium.corrupt(verified_chunk + 5);
  verify(&image, {{0, 4 * verified_chunk}});
  EXPECT_TRUE(media_[0].bad_chunks.empty());
  EXPECT_EQ(medium.sorted_reads(),
            (Ranges{{0, verified_chunk}, {3 * verified_chunk, verified_chunk}}));
}

TEST_P(VerifierTest, OnlyTheRangesThatWereAskedFor) {
  PatternSource image(ring(), medium_size);
  PatternSource& medium = add_medium(image);
  for (const std::uint64_t at : {0U, 4U, 9U}) medium.corrupt(at * verified_chunk);
  verify(&image, {{3 * verified_chunk, 3 * verified_chunk}, {9 * verified_chunk, verified_chunk}});
  EXPECT_EQ(media_[0].bad_chunks,
            (Ranges{{4 * verified_chunk, verified_chunk}, {9 * verified_chunk, verified_chunk}}));
  EXPECT_EQ(medium.reads().size(), 4U);
}

TEST_P(VerifierTest, AMediumThatCannotBeReadIsBadThereAndReadOn) {
  PatternSource image(ring(), medium_size);
  PatternSource& failing = add_medium(image);
  add_medium(image);
  failing.fail_at({4 * verified_chunk + 1, 1});
  verify(&image);
  EXPECT_EQ(media_[0].bad_chunks, (Ranges{{4 * verified_chunk, verified_chunk}}));
  ASSERT_TRUE(media_[0].read_error.has_value());
  EXPECT_EQ(media_[0].read_error->error_number(), EIO);
  EXPECT_EQ(verifier_->locate(media_[0], 100), (Ranges{{4 * verified_chunk, verified_chunk}}));
  EXPECT_TRUE(media_[1].bad_chunks.empty());
}

TEST_P(VerifierTest, ADeviceThatWentAwayIsNotAskedAgain) {
  PatternSource image(ring(), medium_size);
  PatternSource& gone = add_medium(image);
  gone.fail_at({0, medium_size}, ENODEV);
  options_.lanes = 2;
  verify(&image);
  EXPECT_EQ(media_[0].bad_chunks.size(), 21U);
  EXPECT_LE(gone.reads().size(), 2U);
}

TEST_P(VerifierTest, AnImageThatCannotBeReadIsAnError) {
  PatternSource image(ring(), medium_size);
  add_medium(image);
  add_medium(image);
  image.fail_at({6 * verified_chunk, 1});
  EXPECT_THROW(verify(&image), Error);
}

TEST_P(VerifierTest, StopEndsEarly) {
  PatternSource image(ring(), medium_size);
  PatternSource& medium = add_medium(image);
  stop_ = 1;
  verify(&image);
  EXPECT_TRUE(medium.reads().empty());
  EXPECT_TRUE(media_[0].bad_chunks.empty());
}

// 48 MiB: 16 at each end as a whole, and of the middle one chunk in so many.
TEST_P(VerifierTest, ASampleReadsBothEndsAndSomeOfTheMiddle) {
  static constexpr std::uint64_t large = 48 * MiB;
  class Zeros final : public Source {
   public:
    explicit Zeros(Ring& ring) : ring_(ring) {}
    [[nodiscard]] const std::string& name() const override { return name_; }
    [[nodiscard]] std::optional<std::uint64_t> size() const override { return large; }
    [[nodiscard]] Extent extent_at(std::uint64_t at) override {
      return {range_between(at, large), ExtentKind::hole};
    }
    Task<std::size_t> read(ByteRange range, Buffer buffer) override {
      reads.push_back(range.offset);
      (void)co_await ring_.nop();
      std::fill_n(buffer.bytes.begin(), range.length, std::byte{0});
      co_return range.length;
    }
    std::vector<std::uint64_t> reads;

   private:
    Ring& ring_;
    std::string name_ = "zeros";
  };
  Zeros image(ring());
  Zeros medium(ring());
  Medium zeros;
  zeros.source = &medium;
  media_.push_back(zeros);
  options_.sample = 8;
  verify(&image, {{0, large}});
  const auto in = [&](std::uint64_t begin, std::uint64_t end) {
    return std::count_if(medium.reads.begin(), medium.reads.end(),
                         [=](std::uint64_t at) { return at >= begin && at < end; });
  };
  EXPECT_EQ(in(0, 16 * MiB), 1024);
  EXPECT_EQ(in(32 * MiB, 48 * MiB), 1024);
  EXPECT_GT(in(16 * MiB, 32 * MiB), 1024 / 16);
  EXPECT_LT(in(16 * MiB, 32 * MiB), 1024 / 4);
  EXPECT_EQ(observer_.total(Phase::verify, 0), medium.reads.size() * verified_chunk);
  EXPECT_EQ(observer_.bytes(Phase::verify, 0), medium.reads.size() * verified_chunk);
}

}  // namespace
}  // namespace io
