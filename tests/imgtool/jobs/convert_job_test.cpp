// A conversion that meets every failure at every request: there is never a file under the final
// name that is not complete, and never a word of success without one.
#include "imgtool/jobs/convert_job.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/error.hpp"
#include "tests/imgtool/jobs/failing_ring.hpp"
#include "tests/imgtool/jobs/job_folder.hpp"

namespace imgtool {
namespace {

using formats::Format;
using Kind = FailingRing::Kind;

class ConvertJobTest : public JobFolder {
 protected:
  [[nodiscard]] ConvertOptions options(Format format = Format::raw) const {
    ConvertOptions options;
    options.source = source_;
    options.output = out_;
    options.target.format = format;
    return options;
  }

  // The error, or nothing when it went well.
  std::optional<io::Error> convert(FailingRing& ring, const ConvertOptions& options) {
    try {
      ConvertJob job(ring.ring(), options, stop_);
      job.run(observer_);
    } catch (const io::Error& error) {
      return error;
    }
    return std::nullopt;
  }

  void expect_nothing_left() const {
    EXPECT_EQ(others(), Names{});
    expect_source_untouched();
  }

  // Fails the n-th request of this kind for every n there is.
  void fail_each(Kind kind, int error_number, Format format) {
    for (unsigned nth = 1;; ++nth) {
      FailingRing ring(kind, nth, error_number);
      const auto error = convert(ring, options(format));
      if (ring.seen() < nth) {
        EXPECT_FALSE(error.has_value()) << error->what();
        EXPECT_GT(nth, 1U) << "there was no such request";
        return;
      }
      ASSERT_TRUE(error.has_value()) << "request " << nth << " failed, and all seems well";
      expect_nothing_left();
    }
  }
};

TEST_F(ConvertJobTest, TheNewImageHasTheContent) {
  FailingRing ring;
  EXPECT_FALSE(convert(ring, options()).has_value());
  EXPECT_EQ(io::content_of(out_), content_);
  EXPECT_EQ(others(), Names{"out"});
}

TEST_F(ConvertJobTest, EveryReadThatFailsEndsIt) { fail_each(Kind::read, EIO, Format::raw); }
TEST_F(ConvertJobTest, EveryWriteThatFailsEndsIt) { fail_each(Kind::write, EIO, Format::raw); }
TEST_F(ConvertJobTest, EveryWriteOfAQcow2ThatFailsEndsIt) {
  fail_each(Kind::write, EIO, Format::qcow2);
}

TEST_F(ConvertJobTest, AFullFileSystemIsToldWithHowFarItCame) {
  FailingRing ring(Kind::write, 3, ENOSPC);
  const auto error = convert(ring, options());
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->path(), out_);
  EXPECT_NE(std::string(error->what()).find("no space left after"), std::string::npos)
      << error->what();
  expect_nothing_left();
}

TEST_F(ConvertJobTest, ShortTransfersAreGoneOnWith) {
  for (const Kind kind : {Kind::read, Kind::write}) {
    unsigned seen = 0;
    io::ScriptedRing ring([&](const io::Request& request) -> std::optional<std::int64_t> {
      if (request.kind != kind || request.length <= 4096 || ++seen % 2 == 0) return std::nullopt;
      const auto at = static_cast<off_t>(request.offset);
      return kind == Kind::read ? pread(request.file.fd, request.data, 4096, at)
                                : pwrite(request.file.fd, request.data, 4096, at);
    });
    ConvertOptions forced = options();
    forced.target.force = true;
    ConvertJob job(ring, forced, stop_);
    job.run(observer_);
    EXPECT_EQ(io::content_of(out_), content_);
    EXPECT_GT(seen, 0U);
  }
}

TEST_F(ConvertJobTest, AStopInTheMiddleLeavesNothing) {
  FailingRing ring(Kind::write, 2, [this]() -> std::optional<std::int64_t> {
    stop_ = 2;
    return std::nullopt;
  });
  const auto error = convert(ring, options());
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->kind(), io::ErrorKind::cancelled);
  expect_nothing_left();
}

TEST_F(ConvertJobTest, AFolderThatVanishesMeanwhileIsAFailure) {
  FailingRing ring(Kind::write, 2, [this]() -> std::optional<std::int64_t> {
    std::filesystem::remove(out_ + ".imgtool-partial");
    return std::nullopt;
  });
  EXPECT_TRUE(convert(ring, options()).has_value());
  expect_nothing_left();
}

TEST_F(ConvertJobTest, ASourceThatIsChangedMeanwhileIsAMismatch) {
  FailingRing ring(Kind::write, 2, [this]() -> std::optional<std::int64_t> {
    io::File(source_, O_RDWR).truncate(size + 1);
    return std::nullopt;
  });
  const auto error = convert(ring, options());
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->kind(), io::ErrorKind::mismatch);
  EXPECT_EQ(others(), Names{});
}

TEST_F(ConvertJobTest, AnOldFileStaysUntilTheNewOneIsComplete) {
  const auto old = io::pattern({0, 9000}, 7);
  folder_.make("out", old);
  ConvertOptions forced = options();
  FailingRing refused;
  EXPECT_EQ(convert(refused, forced)->kind(), io::ErrorKind::refused);
  forced.target.force = true;
  FailingRing failing(Kind::write, 4, EIO);
  EXPECT_TRUE(convert(failing, forced).has_value());
  EXPECT_EQ(io::content_of(out_), old);
  FailingRing ring;
  EXPECT_FALSE(convert(ring, forced).has_value());
  EXPECT_EQ(io::content_of(out_), content_);
}

TEST_F(ConvertJobTest, AFileInPlaceKeepsWhatLiesBehindTheImage) {
  auto expected = io::pattern({0, size + 10000}, 3);
  folder_.make("out", expected);
  ConvertOptions in_place = options();
  in_place.target.existing = true;
  FailingRing ring;
  EXPECT_FALSE(convert(ring, in_place).has_value());
  std::copy(content_.begin(), content_.end(), expected.begin());
  EXPECT_EQ(io::content_of(out_), expected);
}

TEST_F(ConvertJobTest, AnEmptySourceIsRefused) {
  ConvertOptions empty = options();
  empty.source = folder_.make("empty").path();
  FailingRing ring;
  const auto error = convert(ring, empty);
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->kind(), io::ErrorKind::refused);
  EXPECT_EQ(others(), Names{"empty"});
}

}  // namespace
}  // namespace imgtool
