// The burn, on disks in memory that cheat and fail in every phase.
#include "imgtool/jobs/burn_job.hpp"

#include <algorithm>
#include <cerrno>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/imgtool/jobs/fake_place.hpp"
#include "tests/io/pattern_source.hpp"
#include "tests/io/recording_observer.hpp"

namespace imgtool {
namespace {

using io::ByteRange;
using io::Extent;
using io::ExtentKind;
using io::MiB;
using testing::HasSubstr;

constexpr std::uint64_t burn_chunk = 256 * io::KiB;
constexpr int every_time = 1000;
constexpr ByteRange first_mib{0, MiB};

// All data, but for the holes given.
std::vector<Extent> extents_without(std::uint64_t size, const std::vector<ByteRange>& holes) {
  std::vector<Extent> all;
  std::uint64_t at = 0;
  for (const ByteRange& hole : holes) {
    if (at < hole.offset) all.push_back({io::range_between(at, hole.offset), ExtentKind::data});
    all.push_back({hole, ExtentKind::hole});
    at = hole.end();
  }
  if (at < size) all.push_back({io::range_between(at, size), ExtentKind::data});
  return all;
}

class BurnJobTest : public testing::Test {
 protected:
  io::PatternSource& image(std::uint64_t size, const std::vector<ByteRange>& holes = {}) {
    image_ = std::make_unique<io::PatternSource>(*ring_, extents_without(size, holes));
    return *image_;
  }
  FakePlace& disk(std::uint64_t claimed, std::uint64_t real, Cheat cheat) {
    const std::string name = "disk " + std::to_string(places_.size());
    places_.push_back(std::make_unique<FakePlace>(name, claimed, real, cheat));
    return *places_.back();
  }
  FakePlace& disk(std::uint64_t size) { return disk(size, size, Cheat::none); }

  // Burns the image to all disks.
  void burn() {
    std::vector<BurnPlace*> places;
    for (const auto& place : places_) places.push_back(place.get());
    options_.copy.chunk_size = burn_chunk;
    options_.copy.lanes = 4;
    job_ = std::make_unique<BurnJob>(*ring_, *image_, places, options_, observer_, stop_);
    job_->run();
  }
  [[nodiscard]] const BurnResult& result(std::size_t index = 0) const {
    return job_->results().at(index);
  }
  [[nodiscard]] std::string failure(std::size_t index = 0) const {
    return result(index).error ? result(index).error->what() : "";
  }
  [[nodiscard]] bool holds_image(const FakePlace& place) const {
    const auto& content = image_->content();
    return std::equal(content.begin(), content.end(), place.cells().begin());
  }
  // It failed, and what its first MiB holds was made sure of.
  void expect_failed_and_wiped(const FakePlace& place, std::size_t index = 0) {
    EXPECT_TRUE(result(index).error);
    EXPECT_EQ(result(index).head, HeadState::wiped);
    EXPECT_TRUE(place.holds_zeros(first_mib));
    EXPECT_FALSE(place.finished());
  }

  std::unique_ptr<io::Ring> ring_ = io::make_ring({}).ring;
  std::unique_ptr<io::PatternSource> image_;
  std::vector<std::unique_ptr<FakePlace>> places_;
  BurnJobOptions options_;
  io::RecordingObserver observer_;
  io::StopFlag stop_{0};
  std::unique_ptr<BurnJob> job_;
};

TEST_F(BurnJobTest, WritesTheHeadLast) {
  image(4 * MiB, {{2 * MiB, MiB}});
  FakePlace& place = disk(8 * MiB);
  burn();
  EXPECT_FALSE(result().error) << failure();
  EXPECT_EQ(result().head, HeadState::complete);
  EXPECT_TRUE(holds_image(place));
  EXPECT_TRUE(place.finished());
  const auto& log = place.log();
  const auto first_head_write = std::find_if(log.begin(), log.end(), [](const auto& done) {
    return done.first == "write" && done.second.offset < MiB;
  });
  EXPECT_TRUE(std::none_of(first_head_write, log.end(), [](const auto& done) {
    return done.first != "flush" && done.second.offset >= MiB;
  }));
  EXPECT_EQ(log.front().first, "zero");
  EXPECT_EQ(log.front().second, first_mib);
}

TEST_F(BurnJobTest, ReadsBackThroughACacheAndSaysSo) {
  image(2 * MiB);
  disk(4 * MiB).past_cache = false;
  burn();
  EXPECT_FALSE(result().error);
  EXPECT_FALSE(result().past_cache);
}

// --- media that hold less than they claim ---

TEST_F(BurnJobTest, AMediumWhoseAddressesWrapIsCalledSmaller) {
  image(40 * MiB);
  FakePlace& place = disk(64 * MiB, 16 * MiB, Cheat::wraps);
  burn();
  EXPECT_THAT(failure(), HasSubstr("seems to hold only about 16.0 MiB of the 64.0 MiB"));
  EXPECT_EQ(result().real_size, 16 * MiB);
  EXPECT_FALSE(place.finished());
}

TEST_F(BurnJobTest, AWrappingMediumIsFoundByASampleToo) {
  options_.verify = VerifyMode::sample;
  image(40 * MiB);
  disk(64 * MiB, 16 * MiB, Cheat::wraps);
  burn();
  EXPECT_EQ(result().real_size, 16 * MiB);
}

TEST_F(BurnJobTest, AWrappingMediumIsFoundWhenTheImageIsAStream) {
  image(40 * MiB).be_a_stream();
  disk(64 * MiB, 16 * MiB, Cheat::wraps);
  burn();
  EXPECT_EQ(result().real_size, 16 * MiB);
}

TEST_F(BurnJobTest, AWrappingMediumDoesNotDisturbAnHonestOne) {
  image(40 * MiB);
  disk(64 * MiB, 16 * MiB, Cheat::wraps);
  const FakePlace& honest = disk(64 * MiB);
  burn();
  EXPECT_EQ(result(0).real_size, 16 * MiB);
  EXPECT_FALSE(result(1).error) << failure(1);
  EXPECT_TRUE(holds_image(honest));
}

TEST_F(BurnJobTest, AWrapThatHitsOnlyTheHeadIsFoundBeforeTheHeadIsWritten) {
  image(17 * MiB);
  const FakePlace& place = disk(64 * MiB, 16 * MiB, Cheat::wraps);
  burn();
  EXPECT_THAT(failure(), HasSubstr("no longer zeros"));
  EXPECT_EQ(result().real_size, 16 * MiB);
  expect_failed_and_wiped(place);
}

TEST_F(BurnJobTest, AWrapThatOnlyTheHeadItselfHitsIsFoundAfterwards) {
  image(18 * MiB, {{16 * MiB, MiB}, {17 * MiB, MiB}});
  image_->store_zeros({MiB, MiB});
  const FakePlace& place = disk(64 * MiB, 16 * MiB, Cheat::wraps);
  burn();
  EXPECT_EQ(result().real_size, 16 * MiB) << failure();
  expect_failed_and_wiped(place);
}

TEST_F(BurnJobTest, AMediumThatLosesWhatIsBeyondItsSizeIsCalledSmaller) {
  image(40 * MiB);
  const FakePlace& place = disk(64 * MiB, 16 * MiB, Cheat::loses);
  burn();
  EXPECT_EQ(result().real_size, 16 * MiB) << failure();
  expect_failed_and_wiped(place);
}

TEST_F(BurnJobTest, AMediumOffTheGridOfChunksIsCalledAsSmallAsItIs) {
  constexpr std::uint64_t odd = 15 * MiB + 77 * std::uint64_t{512};
  image(40 * MiB);
  const FakePlace& place = disk(64 * MiB, odd, Cheat::wraps);
  burn();
  EXPECT_EQ(result().real_size, odd) << failure();
  expect_failed_and_wiped(place);
}

TEST_F(BurnJobTest, AMediumOffTheGridIsCalledSmallerWhenTheImageIsAStream) {
  constexpr std::uint64_t odd = 16 * MiB + 4096;
  image(40 * MiB).be_a_stream();
  disk(64 * MiB, odd, Cheat::wraps);
  burn();
  EXPECT_EQ(result().real_size, odd) << failure();
}

TEST_F(BurnJobTest, AWrapOffTheGridThatHitsOnlyTheHeadIsCalledSmaller) {
  constexpr std::uint64_t odd = 16 * MiB + 4096;
  image(16 * MiB + 512 * io::KiB);
  const FakePlace& place = disk(64 * MiB, odd, Cheat::wraps);
  burn();
  EXPECT_THAT(failure(), HasSubstr("no longer zeros"));
  EXPECT_EQ(result().real_size, odd);
  expect_failed_and_wiped(place);
}

// What was written too far comes out where the image has zeros; which of the two comes last is up
// to the disk.
TEST_F(BurnJobTest, AWrapThatMixesDataWithZerosIsCalledSmallerWhateverComesLast) {
  constexpr std::uint64_t odd = 20 * MiB + 192 * io::KiB;
  constexpr ByteRange far{26 * MiB, 4 * MiB};
  for (const bool zeros_last : {false, true}) {
    places_.clear();
    image(40 * MiB, {{MiB, 25 * MiB}, {30 * MiB, 10 * MiB}});
    FakePlace& place = disk(64 * MiB, odd, Cheat::wraps);
    const std::vector<std::byte> zeros(far.length);
    const auto data = std::span(image_->content()).subspan(far.offset, far.length);
    bool verifying = false;
    place.before = [&](const std::string& what, ByteRange range) {
      if (verifying || what != "read" || range.offset < MiB) return;
      verifying = true;
      place.put(far.offset, zeros_last ? std::span<const std::byte>(zeros) : data);
    };
    burn();
    EXPECT_TRUE(verifying);
    EXPECT_EQ(result().real_size, odd) << failure() << (zeros_last ? " (zeros last)" : "");
    expect_failed_and_wiped(place);
  }
}

// Two halves that are the same tell nothing of the disk, though the damage lies in one of them.
TEST_F(BurnJobTest, DamageInAnImageThatRepeatsItselfIsNotCalledASmallerMedium) {
  for (const bool stream : {false, true}) {
    places_.clear();
    image(41 * MiB);
    image_->store_again({MiB, 20 * MiB}, 21 * MiB);
    if (stream) image_->be_a_stream();
    FakePlace& place = disk(64 * MiB);
    for (std::uint64_t at = 5 * MiB; at < 20 * MiB; at += 3 * MiB) place.bad_cells[at] = every_time;
    burn();
    EXPECT_TRUE(result().error);
    EXPECT_FALSE(result().real_size);
  }
}

TEST_F(BurnJobTest, DamageInPlacesIsNotCalledASmallerMedium) {
  image(40 * MiB);
  FakePlace& place = disk(64 * MiB);
  for (std::uint64_t at = 5 * MiB; at < 40 * MiB; at += 3 * MiB) place.bad_cells[at] = every_time;
  burn();
  EXPECT_FALSE(result().real_size);
  expect_failed_and_wiped(place);
}

// --- faults, phase by phase ---

TEST_F(BurnJobTest, ADisconnectWhileTheHeadIsWipedFailsThatTargetOnly) {
  image(3 * MiB);
  FakePlace& gone = disk(8 * MiB);
  gone.before = [&gone](const std::string& what, ByteRange range) { gone.vanish(what, range); };
  const FakePlace& other = disk(8 * MiB);
  burn();
  ASSERT_TRUE(result(0).error);
  EXPECT_EQ(result(0).error->error_number(), ENODEV);
  EXPECT_EQ(result(0).head, HeadState::unknown);
  EXPECT_FALSE(result(1).error) << failure(1);
  EXPECT_TRUE(holds_image(other));
}

TEST_F(BurnJobTest, ZeroingThatDoesNothingIsDoneByWriting) {
  image(3 * MiB);
  FakePlace& place = disk(8 * MiB);
  place.ignore_zeroing = true;
  burn();
  EXPECT_FALSE(result().error) << failure();
  EXPECT_TRUE(holds_image(place));
  EXPECT_TRUE(std::any_of(place.log().begin(), place.log().end(), [](const auto& done) {
    return done.first == "write" && done.second == first_mib;
  }));
}

TEST_F(BurnJobTest, BytesThatAreStoredWrongOnceAreMended) {
  image(6 * MiB);
  FakePlace& place = disk(8 * MiB);
  place.bad_cells[3 * MiB + 5] = 1;
  burn();
  EXPECT_FALSE(result().error) << failure();
  EXPECT_EQ(result().rewritten_bytes, burn_chunk);
  EXPECT_THAT(result().bad_ranges, testing::ElementsAre(ByteRange{3 * MiB + 5, 1}));
  EXPECT_TRUE(holds_image(place));
}

TEST_F(BurnJobTest, AfterAMendingTheWholeImageIsReadAgain) {
  image(6 * MiB);
  FakePlace& place = disk(8 * MiB);
  place.bad_cells[3 * MiB + 5] = 1;
  std::uint64_t read = 0;
  place.before = [&read](const std::string& what, ByteRange range) {
    if (what == "read" && range.offset >= MiB) read += range.length;
  };
  burn();
  EXPECT_GE(read, 2 * 5 * MiB);
}

TEST_F(BurnJobTest, AMediumThatAlwaysLiesIsGivenUpAndItsHeadStaysWiped) {
  image(6 * MiB);
  FakePlace& place = disk(8 * MiB);
  place.bad_cells[3 * MiB + 5] = every_time;
  burn();
  EXPECT_THAT(failure(), HasSubstr("1 bytes in 1 places, the first at offset 3145733"));
  EXPECT_THAT(failure(), HasSubstr("even after 3 more tries"));
  expect_failed_and_wiped(place);
}

TEST_F(BurnJobTest, AMendThatFailsIsTheTargetsError) {
  image(6 * MiB);
  FakePlace& place = disk(8 * MiB);
  place.bad_cells[3 * MiB + 5] = every_time;
  int writes = 0;
  place.before = [&](const std::string& what, ByteRange range) {
    if (what != "write" || !range.contains(3 * MiB + 5) || ++writes < 2) return;
    throw io::Error::system(what, place.path(), EIO, range);
  };
  burn();
  ASSERT_TRUE(result().error);
  EXPECT_EQ(result().error->error_number(), EIO);
  expect_failed_and_wiped(place);
}

TEST_F(BurnJobTest, ATargetThatVanishesBetweenWritingAndVerifyingFails) {
  image(6 * MiB);
  FakePlace& gone = disk(8 * MiB);
  bool written = false;
  gone.before = [&](const std::string& what, ByteRange range) {
    written = written || (what == "write" && range.end() == 6 * MiB);
    if (written && what != "write") gone.vanish(what, range);
  };
  const FakePlace& other = disk(8 * MiB);
  burn();
  EXPECT_TRUE(result(0).error);
  EXPECT_FALSE(result(1).error) << failure(1);
  EXPECT_TRUE(holds_image(other));
}

TEST_F(BurnJobTest, AHeadThatDoesNotVerifyIsWipedAgain) {
  image(6 * MiB);
  FakePlace& place = disk(8 * MiB);
  place.bad_cells[1000] = every_time;
  burn();
  EXPECT_THAT(result().bad_ranges, testing::ElementsAre(ByteRange{1000, 1}));
  expect_failed_and_wiped(place);
}

TEST_F(BurnJobTest, AHeadThatCannotBeWrittenIsWipedAgain) {
  image(6 * MiB);
  FakePlace& place = disk(8 * MiB);
  place.before = [&place](const std::string& what, ByteRange range) {
    if (what == "write" && range.contains(MiB / 2)) {
      throw io::Error::system(what, place.path(), EIO, range);
    }
  };
  burn();
  expect_failed_and_wiped(place);
}

TEST_F(BurnJobTest, AHeadThatCannotBeTakenBackIsSaidToBeUnknown) {
  image(6 * MiB);
  FakePlace& place = disk(8 * MiB);
  bool head_written = false;
  place.before = [&](const std::string& what, ByteRange range) {
    if (head_written) place.vanish(what, range);
    head_written = what == "write" && range.offset == 0;
  };
  burn();
  EXPECT_TRUE(result().error);
  EXPECT_EQ(result().head, HeadState::unknown);
}

// --- what concerns all targets ---

TEST_F(BurnJobTest, AnotherDigestLeavesNoHeadAnywhere) {
  options_.algorithm = io::DigestAlgorithm::xxh3;
  options_.expected_digest = "00";
  image(3 * MiB);
  const FakePlace& one = disk(8 * MiB);
  const FakePlace& two = disk(8 * MiB);
  EXPECT_THROW(burn(), io::Error);
  for (std::size_t index = 0; index < 2; ++index) {
    EXPECT_EQ(result(index).head, HeadState::wiped);
  }
  EXPECT_TRUE(one.holds_zeros(first_mib));
  EXPECT_TRUE(two.holds_zeros(first_mib));
}

TEST_F(BurnJobTest, AnImageThatChangedLeavesNoHeadAnywhere) {
  options_.check_image = [] { throw io::Error(io::ErrorKind::mismatch, "image", "was changed"); };
  image(3 * MiB);
  const FakePlace& place = disk(8 * MiB);
  EXPECT_THROW(burn(), io::Error);
  EXPECT_TRUE(place.holds_zeros(first_mib));
}

TEST_F(BurnJobTest, AStopWhileTheHeadIsVerifiedWipesItAgain) {
  image(3 * MiB);
  FakePlace& place = disk(8 * MiB);
  bool head_written = false;
  place.before = [&](const std::string& what, ByteRange range) {
    head_written = head_written || (what == "write" && range.offset == 0);
    if (head_written && what == "read") stop_ = 2;
  };
  EXPECT_THROW(burn(), io::Error);
  EXPECT_EQ(result().head, HeadState::wiped);
  EXPECT_TRUE(place.holds_zeros(first_mib));
}

TEST_F(BurnJobTest, OneOfSeveralFailsAndTheOthersEndComplete) {
  image(6 * MiB);
  const FakePlace& first = disk(8 * MiB);
  FakePlace& bad = disk(8 * MiB);
  bad.before = [&bad](const std::string& what, ByteRange range) {
    if (what == "write" && range.contains(4 * MiB)) {
      throw io::Error::system(what, bad.path(), EIO, range);
    }
  };
  const FakePlace& last = disk(12 * MiB);
  burn();
  EXPECT_TRUE(result(1).error);
  EXPECT_TRUE(bad.holds_zeros(first_mib));
  for (const FakePlace* good : {&first, &last}) {
    EXPECT_TRUE(holds_image(*good));
    EXPECT_TRUE(good->finished());
  }
}

}  // namespace
}  // namespace imgtool
