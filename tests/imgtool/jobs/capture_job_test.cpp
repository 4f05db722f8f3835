// A capture that is interrupted at any write and gone on with gives the same image as one that is
// not; one that cannot be gone on with leaves nothing.
#include "imgtool/jobs/capture_job.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "io/error.hpp"
#include "tests/imgtool/jobs/failing_ring.hpp"
#include "tests/imgtool/jobs/job_folder.hpp"

namespace imgtool {
namespace {

using Kind = FailingRing::Kind;

class CaptureJobTest : public JobFolder {
 protected:
  [[nodiscard]] CaptureOptions options(bool resumable = false) const {
    CaptureOptions options;
    options.device = source_;
    options.output = out_;
    if (resumable) options.mapfile = folder_.path("map");
    return options;
  }
  static TuningOptions tuning() {
    TuningOptions tuning;
    tuning.chunk_size = 256 * io::KiB;
    tuning.depth = 2;
    return tuning;
  }

  std::optional<io::Error> capture(FailingRing& ring, const CaptureOptions& options) {
    try {
      CaptureJob job(ring.ring(), options, tuning(), stop_);
      job.run(observer_);
      lost_ = job.unreadable();
    } catch (const io::Error& error) {
      return error;
    }
    return std::nullopt;
  }

  std::vector<io::ByteRange> lost_;
};

TEST_F(CaptureJobTest, TheImageHasTheContentAndItsOwnersMode) {
  CaptureOptions private_options = options();
  private_options.target.mode = 0600;
  FailingRing ring;
  EXPECT_FALSE(capture(ring, private_options).has_value());
  EXPECT_EQ(io::content_of(out_), content_);
  struct stat found {};
  ASSERT_EQ(stat(out_.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777U, 0600U);
  EXPECT_LT(found.st_blocks * 512, static_cast<blkcnt_t>(size)) << "a hole stays one";
}

TEST_F(CaptureJobTest, EveryWriteThatFailsEndsItAndLeavesNothing) {
  for (unsigned nth = 1;; ++nth) {
    FailingRing ring(Kind::write, nth, ENOSPC);
    const auto error = capture(ring, options());
    if (ring.seen() < nth) {
      EXPECT_GT(nth, 4U);
      return;
    }
    ASSERT_TRUE(error.has_value()) << nth;
    EXPECT_NE(std::string(error->what()).find("no space left"), std::string::npos);
    EXPECT_EQ(others(), Names{});
    expect_source_untouched();
  }
}

// Whatever happened to the n-th write, the second run makes the image complete.
TEST_F(CaptureJobTest, AResumedRunGivesTheSameImage) {
  for (unsigned nth = 1;; ++nth) {
    FailingRing ring(Kind::write, nth, EIO);
    const auto error = capture(ring, options(true));
    if (ring.seen() < nth) break;
    ASSERT_TRUE(error.has_value()) << nth;
    EXPECT_EQ(others(), (Names{"map", "out.imgtool-partial"}));
    CaptureOptions again = options(true);
    again.target.resume = true;
    again.digest = io::DigestAlgorithm::xxh3;
    FailingRing second;
    const auto none = capture(second, again);
    ASSERT_FALSE(none.has_value()) << none->what();
    EXPECT_EQ(io::content_of(out_), content_) << nth;
    std::filesystem::remove(out_);
    std::filesystem::remove(folder_.path("map"));
  }
}

TEST_F(CaptureJobTest, AStopKeepsWhatIsDone) {
  FailingRing ring(Kind::write, 5, [this]() -> std::optional<std::int64_t> {
    stop_ = 15;
    return std::nullopt;
  });
  const auto error = capture(ring, options(true));
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->kind(), io::ErrorKind::cancelled);
  stop_ = 0;
  CaptureOptions again = options(true);
  again.target.resume = true;
  FailingRing second;
  EXPECT_FALSE(capture(second, again).has_value());
  EXPECT_EQ(io::content_of(out_), content_);
  FailingRing whole;
  std::filesystem::remove(out_);
  EXPECT_FALSE(capture(whole, options()).has_value());
  const auto bytes_read = [](const FailingRing& of) {
    std::uint64_t bytes = 0;
    for (const io::Request& request : of.requests()) {
      if (request.kind == Kind::read) bytes += request.length;
    }
    return bytes;
  };
  EXPECT_LT(bytes_read(second), bytes_read(whole)) << "what was done is not read again";
}

TEST_F(CaptureJobTest, AnotherSourceIsNotGoneOnWith) {
  FailingRing ring(Kind::write, 3, EIO);
  EXPECT_TRUE(capture(ring, options(true)).has_value());
  CaptureOptions again = options(true);
  again.target.resume = true;
  again.device = folder_.make("other", io::pattern({0, size}, 5)).path();
  FailingRing second;
  const auto error = capture(second, again);
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->kind(), io::ErrorKind::refused);
}

TEST_F(CaptureJobTest, RescueReadsAroundWhatIsLost) {
  CaptureOptions rescue = options();
  rescue.rescue = true;
  const io::ByteRange bad{io::MiB, 4096};
  io::ScriptedRing ring([&](const io::Request& request) -> std::optional<std::int64_t> {
    const io::ByteRange range{request.offset, request.length};
    if (request.kind == Kind::read && !io::intersection(range, bad).empty()) return -EIO;
    return std::nullopt;
  });
  CaptureJob job(ring, rescue, tuning(), stop_);
  job.run(observer_);
  EXPECT_EQ(job.unreadable(), std::vector<io::ByteRange>{bad});
  auto expected = content_;
  std::fill_n(expected.begin() + io::MiB, 4096, std::byte{0});
  EXPECT_EQ(io::content_of(out_), expected);
}

TEST_F(CaptureJobTest, AnEmptyDiskIsRefused) {
  CaptureOptions empty = options();
  empty.device = folder_.make("empty").path();
  FailingRing ring;
  EXPECT_EQ(capture(ring, empty)->kind(), io::ErrorKind::refused);
  empty.length = 0;
  EXPECT_FALSE(capture(ring, empty).has_value()) << "a size of 0 was asked for";
}

}  // namespace
}  // namespace imgtool
